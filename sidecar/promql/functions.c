/* SPDX-License-Identifier: Apache-2.0 */
#include "functions.h"

#include <string.h>

/* Sorted by name. */
static const struct function functions[] = {
    {"abs", "v", 0, TYPE_VECTOR, false},
    {"absent", "v", 0, TYPE_VECTOR, false},
    {"absent_over_time", "m", 0, TYPE_VECTOR, false},
    {"acos", "v", 0, TYPE_VECTOR, false},
    {"acosh", "v", 0, TYPE_VECTOR, false},
    {"asin", "v", 0, TYPE_VECTOR, false},
    {"asinh", "v", 0, TYPE_VECTOR, false},
    {"atan", "v", 0, TYPE_VECTOR, false},
    {"atanh", "v", 0, TYPE_VECTOR, false},
    {"avg_over_time", "m", 0, TYPE_VECTOR, false},
    {"ceil", "v", 0, TYPE_VECTOR, false},
    {"changes", "m", 0, TYPE_VECTOR, false},
    {"clamp", "vss", 0, TYPE_VECTOR, false},
    {"clamp_max", "vs", 0, TYPE_VECTOR, false},
    {"clamp_min", "vs", 0, TYPE_VECTOR, false},
    {"cos", "v", 0, TYPE_VECTOR, false},
    {"cosh", "v", 0, TYPE_VECTOR, false},
    {"count_over_time", "m", 0, TYPE_VECTOR, false},
    {"day_of_month", "v", 1, TYPE_VECTOR, false},
    {"day_of_week", "v", 1, TYPE_VECTOR, false},
    {"day_of_year", "v", 1, TYPE_VECTOR, false},
    {"days_in_month", "v", 1, TYPE_VECTOR, false},
    {"deg", "v", 0, TYPE_VECTOR, false},
    {"delta", "m", 0, TYPE_VECTOR, false},
    {"deriv", "m", 0, TYPE_VECTOR, false},
    {"double_exponential_smoothing", "mss", 0, TYPE_VECTOR, true},
    {"exp", "v", 0, TYPE_VECTOR, false},
    {"first_over_time", "m", 0, TYPE_VECTOR, true},
    {"floor", "v", 0, TYPE_VECTOR, false},
    {"histogram_avg", "v", 0, TYPE_VECTOR, true},
    {"histogram_count", "v", 0, TYPE_VECTOR, false},
    {"histogram_fraction", "ssv", 0, TYPE_VECTOR, false},
    {"histogram_quantile", "sv", 0, TYPE_VECTOR, false},
    {"histogram_quantiles", "vts", -1, TYPE_VECTOR, true},
    {"histogram_stddev", "v", 0, TYPE_VECTOR, true},
    {"histogram_stdvar", "v", 0, TYPE_VECTOR, true},
    {"histogram_sum", "v", 0, TYPE_VECTOR, false},
    {"holt_winters", "mss", 0, TYPE_VECTOR, false},
    {"hour", "v", 1, TYPE_VECTOR, false},
    {"idelta", "m", 0, TYPE_VECTOR, false},
    {"increase", "m", 0, TYPE_VECTOR, false},
    {"info", "vv", 1, TYPE_VECTOR, true},
    {"irate", "m", 0, TYPE_VECTOR, false},
    {"label_join", "vttt", -1, TYPE_VECTOR, false},
    {"label_replace", "vtttt", 0, TYPE_VECTOR, false},
    {"last_over_time", "m", 0, TYPE_VECTOR, false},
    {"ln", "v", 0, TYPE_VECTOR, false},
    {"log10", "v", 0, TYPE_VECTOR, false},
    {"log2", "v", 0, TYPE_VECTOR, false},
    {"mad_over_time", "m", 0, TYPE_VECTOR, true},
    {"max_over_time", "m", 0, TYPE_VECTOR, false},
    {"min_over_time", "m", 0, TYPE_VECTOR, false},
    {"minute", "v", 1, TYPE_VECTOR, false},
    {"month", "v", 1, TYPE_VECTOR, false},
    {"pi", "", 0, TYPE_SCALAR, false},
    {"predict_linear", "ms", 0, TYPE_VECTOR, false},
    {"present_over_time", "m", 0, TYPE_VECTOR, false},
    {"quantile_over_time", "sm", 0, TYPE_VECTOR, false},
    {"rad", "v", 0, TYPE_VECTOR, false},
    {"rate", "m", 0, TYPE_VECTOR, false},
    {"resets", "m", 0, TYPE_VECTOR, false},
    {"round", "vs", 1, TYPE_VECTOR, false},
    {"scalar", "v", 0, TYPE_SCALAR, false},
    {"sgn", "v", 0, TYPE_VECTOR, false},
    {"sin", "v", 0, TYPE_VECTOR, false},
    {"sinh", "v", 0, TYPE_VECTOR, false},
    {"sort", "v", 0, TYPE_VECTOR, false},
    {"sort_by_label", "vt", -1, TYPE_VECTOR, true},
    {"sort_by_label_desc", "vt", -1, TYPE_VECTOR, true},
    {"sort_desc", "v", 0, TYPE_VECTOR, false},
    {"sqrt", "v", 0, TYPE_VECTOR, false},
    {"stddev_over_time", "m", 0, TYPE_VECTOR, false},
    {"stdvar_over_time", "m", 0, TYPE_VECTOR, false},
    {"sum_over_time", "m", 0, TYPE_VECTOR, false},
    {"tan", "v", 0, TYPE_VECTOR, false},
    {"tanh", "v", 0, TYPE_VECTOR, false},
    {"time", "", 0, TYPE_SCALAR, false},
    {"timestamp", "v", 0, TYPE_VECTOR, false},
    {"ts_of_first_over_time", "m", 0, TYPE_VECTOR, true},
    {"ts_of_last_over_time", "m", 0, TYPE_VECTOR, true},
    {"ts_of_max_over_time", "m", 0, TYPE_VECTOR, true},
    {"ts_of_min_over_time", "m", 0, TYPE_VECTOR, true},
    {"vector", "s", 0, TYPE_VECTOR, false},
    {"year", "v", 1, TYPE_VECTOR, false},
};

const struct function *
function_find(struct ss_span name)
{
    size_t low = 0, high = sizeof(functions) / sizeof(functions[0]);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *other = functions[middle].name;
        int order = strncmp(name.ptr, other, name.len);
        if (!order && !other[name.len])
            return &functions[middle];
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

enum value_type
function_type(char letter)
{
    return letter == 's' ? TYPE_SCALAR : letter == 'v' ? TYPE_VECTOR : letter == 'm' ? TYPE_MATRIX : TYPE_STRING;
}

size_t
function_min_args(const struct function *f)
{
    return strlen(f->args) - (f->optional != 0);
}

size_t
function_max_args(const struct function *f)
{
    size_t fixed = function_min_args(f);
    return f->optional < 0 ? SIZE_MAX : fixed + (size_t)f->optional;
}
