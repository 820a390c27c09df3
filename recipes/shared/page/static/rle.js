// COCO's compressed run lengths: columns first, runs of zeros and ones in turn (maskApi.c, rleFrString).

export function decodeCounts(text) {
  const counts = [];
  let position = 0;
  while (position < text.length) {
    let value = 0, shift = 0, code;
    do {
      code = text.charCodeAt(position++) - 48;
      // by multiplication: a picture of 100 million pixels has runs near the 31 bits of JavaScript's shifts
      value += (code & 0x1f) * 2 ** shift;
      shift += 5;
    } while (code & 0x20);
    if (code & 0x10) value -= 2 ** shift;
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

// Calls paint(column, top, bottom) for each vertical run of ones; bottom is the first row that is not in it.
export function eachRun({size: [height], counts}, paint) {
  let position = 0, ones = false;
  for (const count of decodeCounts(counts)) {
    for (let start = position, end = position + count; ones && start < end;) {
      const column = Math.floor(start / height);
      const stop = Math.min(end, (column + 1) * height);
      paint(column, start - column * height, stop - column * height);
      start = stop;
    }
    position += count;
    ones = !ones;
  }
}
