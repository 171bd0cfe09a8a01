/* Classification: the class of the largest score. Its NumPy twin is codegen/tasks/classification.py. */
#include "../nestnet.h"

unsigned nn_argmax(const int8_t *values, unsigned count)
{
    unsigned best = 0;
    for (unsigned i = 1; i < count; i++) {
        if (values[i] > values[best]) {
            best = i;
        }
    }
    return best;
}
