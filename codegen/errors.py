"""The one error type a user of nestnet sees for a mistake that is theirs."""

from __future__ import annotations

EXIT_CODE = 2
"""Process exit code for every :class:`UserError`."""


class UserError(Exception):
    """Report a mistake the user can correct, in one fixed form.

    The message reads ``<where>: <what>; got <x>, expected <y>. <next action>``.
    The command line prints it without a traceback and exits with :data:`EXIT_CODE`.
    """

    def __init__(
        self, where: str, what: str, *, got: object, expected: object, action: str
    ) -> None:
        """Compose the message from its five parts.

        Args:
            where: file, flag, layer or function the mistake is in.
            what: what is wrong, in a few words.
            got: the value found.
            expected: the values that would be accepted.
            action: what to do next, a full sentence without its final full stop, or a
                question with its mark.
        """
        self.where = where
        self.what = what
        self.got = str(got)
        self.expected = str(expected)
        self.action = action.rstrip(".")
        end = "" if self.action.endswith("?") else "."
        super().__init__(f"{where}: {what}; got {got}, expected {expected}. {self.action}{end}")
