/* nn_multi_label.c - see nn_multi_label.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "nn_multi_label.h"

void nn_present(const nn_multi_label *task, const int8_t *scores, uint8_t *present)
{
    for (unsigned label = 0; label < task->labels; label++) {
        present[label] = scores[label] >= task->thresholds[label];
    }
}
