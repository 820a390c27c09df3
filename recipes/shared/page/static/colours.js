// Colours that are told apart on pictures, by people who see fewer colours too (after Paul Tol, "vibrant" and "bright").

const PALETTE = [
  "#ee7733", "#0099e6", "#33bbaa", "#ee3377", "#ccaa22", "#8866dd", "#22aa44", "#ee5544", "#66ccee", "#aa4499",
  "#999933", "#4477dd", "#cc6677", "#44bb99", "#dd7788", "#7799ff",
];

export function colourOf(label) {
  return PALETTE[label % PALETTE.length];
}
