"""Logarithm and exponential of a row of numbers in plain arithmetic, which the compiler turns into vector code."""

from __future__ import annotations

import numpy as np

from hmm_plating.compiled import inlined

_ROOT_HALF = 0x3FE6A09E667F3BCD  # bits of sqrt(½)
_LN2, _LN2_HIGH, _LN2_LOW = 0.6931471805599453, 0.6931471803691238, 1.9082149292705877e-10


@inlined
def logarithm(values, mantissa, exponent, out):
    """out = ln(values), positive and normal, to 1e-15; `mantissa` and `exponent` are overwritten."""
    bits, mantissa_bits = values.view(np.int64), mantissa.view(np.int64)
    for i in range(values.size):
        power = (bits[i] - _ROOT_HALF) >> 52
        mantissa_bits[i] = bits[i] - (power << 52)
        exponent[i] = float(power)
    for i in range(values.size):
        s = (mantissa[i] - 1) / (mantissa[i] + 1)  # ln m = 2 artanh(s), |s| < 0.172
        q = s * s
        series = 1 / 19 + q * (1 / 21)
        series = 1 / 17 + q * series
        series = 1 / 15 + q * series
        series = 1 / 13 + q * series
        series = 1 / 11 + q * series
        series = 1 / 9 + q * series
        series = 1 / 7 + q * series
        series = 1 / 5 + q * series
        series = 1 / 3 + q * series
        out[i] = exponent[i] * _LN2 + (2 * s + 2 * s * q * series)


@inlined
def exponential(values, power, out):
    """out = exp(values), |values| < 700, to 2e-15 relative; `power` is overwritten."""
    bits = power.view(np.int64)
    for i in range(values.size):
        whole = np.floor(values[i] * (1 / _LN2) + 0.5)
        bits[i] = (np.int64(whole) + 1023) << 52
        rest = values[i] - whole * _LN2_HIGH - whole * _LN2_LOW
        series = 1 / 39916800 + rest * (1 / 479001600)
        series = 1 / 3628800 + rest * series
        series = 1 / 362880 + rest * series
        series = 1 / 40320 + rest * series
        series = 1 / 5040 + rest * series
        series = 1 / 720 + rest * series
        series = 1 / 120 + rest * series
        series = 1 / 24 + rest * series
        series = 1 / 6 + rest * series
        series = 1 / 2 + rest * series
        series = 1 + rest * series
        out[i] = 1 + rest * series
    for i in range(values.size):
        out[i] *= power[i]
