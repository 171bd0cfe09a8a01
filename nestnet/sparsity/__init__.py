"""Which weights to prune (scores) and how fast (schedule)."""
