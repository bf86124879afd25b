// Numbers, as people read them, and scales.

/** written is v with so many significant digits: −0.25, 1.3×10⁻⁷, NaN, +∞. */
function written(v, digits = 4) {
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "+∞" : "−∞";
  const size = Math.abs(v);
  if (v === 0 || (size >= 1e-3 && size < 1e5)) {
    return String(Number(v.toPrecision(digits))).replace("-", "−");
  }
  const [mantissa, exponent] = Number(v.toPrecision(digits)).toExponential().split("e");
  const power = "10" + [...String(Number(exponent))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"["0123456789-".indexOf(c)]).join("");
  if (mantissa === "1") return power;
  return mantissa === "-1" ? "−" + power : mantissa.replace("-", "−") + "×" + power;
}

/** digitsOf are as many significant digits as tell ticks apart. */
function digitsOf(ticks) {
  for (let digits = 4; digits < 15; digits++) {
    if (new Set(ticks.map((v) => written(v, digits))).size === ticks.length) return digits;
  }
  return 15;
}

/** roundStep is the smallest of 1, 2, 5 times a power of ten that is at least raw. */
function roundStep(raw) {
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((m) => m * power).find((step) => step >= raw * (1 - 1e-9) && step < Infinity) ?? power;
}

/** Scale maps values from lo to hi to 0 … 1, linearly or by their logarithms. */
class Scale {
  constructor(lo, hi, log) {
    if (!(hi > lo)) { // one value only: it is put in the middle
      const away = log ? 0 : Math.max(Math.abs(lo) / 2, 1e-3);
      [lo, hi] = log ? [lo / 2, lo * 2] : [lo - away, lo + away];
    }
    Object.assign(this, { lo, hi, log });
  }

  /** of is half of what the scale is even in: halves keep differences of the largest numbers finite. */
  of(v) { return this.log ? Math.log10(v) / 2 : v / 2; }

  /** norm is NaN for what has no place: NaN, infinities, and on a logarithmic scale what is not positive. */
  norm(v) {
    const t = (this.of(v) - this.of(this.lo)) / (this.of(this.hi) - this.of(this.lo));
    return Number.isFinite(t) ? t : NaN;
  }

  value(t) {
    const half = this.of(this.lo) + t * (this.of(this.hi) - this.of(this.lo));
    return this.log ? 10 ** (2 * half) : 2 * half;
  }

  /** ticks are round values of the scale, about most of them. */
  ticks(most) {
    if (!this.log) return stepsBetween(this.lo, this.hi, most);
    const first = Math.floor(Math.log10(this.lo)), last = Math.ceil(Math.log10(this.hi));
    const inside = (v) => v >= this.lo * (1 - 1e-9) && v <= this.hi * (1 + 1e-9) && v < Infinity;
    const every = Math.max(1, Math.ceil((last - first) / most));
    const decades = (multiples) => {
      const found = [];
      for (let e = first; e <= last; e += every) found.push(...multiples.map((m) => Number(`${m}e${e}`)).filter(inside));
      return found;
    };
    const fine = [[1, 2, 5], [1, 3]].map(decades).find((found) => found.length >= 3 && found.length <= most);
    const whole = decades([1]);
    return every === 1 && fine ? fine : whole.length >= 2 ? whole : stepsBetween(this.lo, this.hi, most);
  }

  /** levels are contour lines at round values, most or fewer: at norms (k + offset)·spacing for whole k. */
  levels(most) {
    if (most < 2) return null;
    const lo = this.of(this.lo), hi = this.of(this.hi); // halves
    const step = roundStep(2 * (hi / most - lo / most));
    return { spacing: step / (hi - lo) / 2, offset: (-2 * lo / step) % 1, step };
  }
}

/** stepsBetween are the multiples of a round number from lo to hi, at most about most. */
function stepsBetween(lo, hi, most) {
  const step = roundStep(hi / most - lo / most);
  const first = Math.ceil(lo / step - 1e-9), last = Math.floor(hi / step + 1e-9);
  return Array.from({ length: Math.min(last - first + 1, 100) }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}
