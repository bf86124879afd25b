// Functions in float64, good to a few units in the last place: a card has none without CUDA's library.

#pragma once

#include "machine.h"

// scaled is x·2ⁿ for −1022 ≤ n ≤ 1023.
DEVICE double scaled(double x, int n) { return x * __builtin_bit_cast(double, (long long)(1023 + n) << 52); }

// expOf is eˣ by eˣ = 2ⁿ·eʳ, |r| ≤ ln 2/2.
DEVICE double expOf(double x) {
	if (x != x) return x;
	if (x > 709) return __builtin_inf(); // neither matters to float32
	if (x < -708) return 0;
	const double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10; // fdlibm's ln 2
	int n = (int)(x * 1.4426950408889634 + (x < 0 ? -0.5 : 0.5));
	double r = (x - n * high) - n * low;
	double sum = 1;
	for (int k = 14; k > 0; k--) sum = 1 + sum * r / k;
	return scaled(sum, n);
}

// expm1Of is eˣ − 1.
DEVICE double expm1Of(double x) {
	if (!(x > -0.5 && x < 0.5)) return expOf(x) - 1;
	double sum = 1;
	for (int k = 15; k > 1; k--) sum = 1 + sum * x / k;
	return sum * x;
}

// logOf is ln x for normal x ≥ 1 or +∞: of sums of exponentials, the largest of which is 1.
DEVICE double logOf(double x) {
	if (!(x < __builtin_inf())) return x;
	long long bits = __builtin_bit_cast(long long, x);
	int n = (int)(bits >> 52) - 1023;
	double m = scaled(x, -n);
	if (m > 1.4142135623730951) m /= 2, n++;
	double s = (m - 1) / (m + 1), square = s * s, sum = 0; // ln m = 2·artanh s
	for (int k = 25; k > 0; k -= 2) sum = sum * square + 1.0 / k;
	return n * 0.6931471805599453 + 2 * s * sum;
}

DEVICE double tanhOf(double x) {
	double a = x < 0 ? -x : x;
	if (a > 20) return x < 0 ? -1 : 1;
	double t = expm1Of(2 * a);
	t = t / (t + 2);
	return x < 0 ? -t : t;
}

// normal is the normal distribution function Φ(x) = erfc(−x/√2)/2, by the series
// Φ(x) = 1/2 + φ(x)·(x + x³/3 + x⁵/(3·5) + …) or, in the tails, by Laplace's continued fraction.
DEVICE double normal(double x) {
	if (x != x) return x;
	double a = x < 0 ? -x : x;
	if (a > 38) return x < 0 ? 0 : 1;
	double density = 0.3989422804014327 * expOf(-a * a / 2);
	if (a < 3) {
		double term = a, sum = a;
		for (int k = 3; k < 80; k += 2) term *= a * a / k, sum += term;
		sum *= density;
		return x < 0 ? 0.5 - sum : 0.5 + sum;
	}
	double fraction = a;
	for (int k = 60; k > 0; k--) fraction = a + k / fraction;
	double tail = density / fraction;
	return x < 0 ? tail : 1 - tail;
}
