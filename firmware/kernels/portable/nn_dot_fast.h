/* nn_dot_fast.h (portable) - no hand-scheduled loops.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

NN_INLINE int nn_dot_fast(int32_t rows, int32_t columns, int32_t row_bytes, int32_t step,
                          const int8_t **weights, const int16_t **patch, int32_t acc[NN_DOT_MAX])
{
    (void)rows;
    (void)columns;
    (void)row_bytes;
    (void)step;
    (void)weights;
    (void)patch;
    (void)acc;
    return 0;
}
