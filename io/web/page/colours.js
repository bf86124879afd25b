// Colour maps: values of matplotlib's viridis, magma and cividis (CC0) and of Moreland's cool–warm, evenly spaced.

const colourMaps = {
  viridis: "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
  magma: "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf",
  cividis: "00204d 00336f 39486b 575c6d 707173 8a8779 a69d75 c4b56c e4cf5b ffea46",
  "cool–warm": "3b4cc0 6282ea 8db0fe b8d0f9 dddddd f5c4ad f49a7b de604d b40426",
  grey: "1c1c1c f4f4f4",
};

/** colourTable is a map as 256 RGBA colours. */
function colourTable(name) {
  const stops = colourMaps[name].split(" ").map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const table = new Uint8Array(4 * 256);
  for (let k = 0; k < 256; k++) {
    const at = (k / 255) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) table[4 * k + c] = Math.round(stops[i][c] + (at - i) * (stops[i + 1][c] - stops[i][c]));
    table[4 * k + 3] = 255;
  }
  return table;
}

/** colourAt is the CSS colour of t from 0 to 1. */
function colourAt(table, t) {
  const k = 4 * Math.round(255 * Math.min(Math.max(t, 0), 1));
  return `rgb(${table[k]},${table[k + 1]},${table[k + 2]})`;
}

/** What has no place on a surface is a tile below it, of its kind's colour. */
const holeColours = { NaN: "#9aa0a6", "+∞": "#d6275a", "−∞": "#3f6fd8", missing: "#cbbf9b", "not positive": "#7d5ba6" };
