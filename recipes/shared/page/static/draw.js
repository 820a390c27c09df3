// Draws what was found over a picture, on a canvas of any size.

import {colourOf} from "./colours.js";
import {eachRun} from "./rle.js";

const LEAST_KEYPOINT = 0.05; // keypoints that are less sure are not drawn

export function chosen(result, view) {
  return result.instances.filter((one) => one.score >= view.threshold && !view.hidden.has(one.label));
}

// `picture` fills the canvas; `result` is in pixels of the original, which may be larger.
// `unit` is how many of the canvas' pixels make one of the screen it is looked at on.
export function draw(canvas, picture, result, view, names, skeleton, unit) {
  const context = canvas.getContext("2d");
  context.unit = unit;
  const scale = canvas.width / result.width;
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const found = chosen(result, view);
  // the surest last, so that it lies on top
  const behind = [...found].reverse();
  if (view.layers.masks) behind.forEach((one) => one.mask && drawMask(context, one, scale));
  if (view.layers.boxes) behind.forEach((one) => drawBox(context, one, scale));
  if (view.layers.keypoints) behind.forEach((one) => one.keypoints && drawKeypoints(context, one, scale, skeleton));
  if (view.layers.labels) behind.forEach((one) => drawLabel(context, one, scale, names));
  return found;
}

function line(context) {
  return 2 * context.unit;
}

const stamps = new WeakMap(); // masks that were painted already, by instance: the slider moves often

function stamp(instance, scale) {
  const known = stamps.get(instance);
  if (known && known.scale === scale) return known;
  const [left, top, right, bottom] = reach(instance.mask);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.ceil((right - left) * scale));
  canvas.height = Math.max(1, Math.ceil((bottom - top) * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = colourOf(instance.label);
  const wide = Math.max(1, scale);
  eachRun(instance.mask, (column, first, end) => {
    context.fillRect((column - left) * scale, (first - top) * scale, wide, Math.max(1, (end - first) * scale));
  });
  const made = {canvas, scale, left, top};
  stamps.set(instance, made);
  return made;
}

function reach(mask) {
  let left = Infinity, top = Infinity, right = 0, bottom = 0;
  eachRun(mask, (column, first, end) => {
    left = Math.min(left, column);
    right = Math.max(right, column + 1);
    top = Math.min(top, first);
    bottom = Math.max(bottom, end);
  });
  return left === Infinity ? [0, 0, 1, 1] : [left, top, right, bottom];
}

function drawMask(context, instance, scale) {
  const {canvas, left, top} = stamp(instance, scale);
  context.globalAlpha = 0.45;
  context.drawImage(canvas, left * scale, top * scale);
  context.globalAlpha = 1;
}

function outline(instance) {
  const [left, top, right, bottom] = instance.box;
  return instance.corners || [[left, top], [right, top], [right, bottom], [left, bottom]];
}

function drawBox(context, instance, scale) {
  const path = new Path2D();
  outline(instance).forEach(([x, y], index) => (index ? path.lineTo(x * scale, y * scale) : path.moveTo(x * scale, y * scale)));
  path.closePath();
  context.lineJoin = "round";
  // a dark line below it, so that it is seen on a ground of its own colour
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.lineWidth = line(context) * 2;
  context.stroke(path);
  context.strokeStyle = colourOf(instance.label);
  context.lineWidth = line(context);
  context.stroke(path);
}

function drawKeypoints(context, instance, scale, skeleton) {
  const points = instance.keypoints;
  context.strokeStyle = context.fillStyle = colourOf(instance.label);
  context.lineWidth = line(context);
  for (const [one, other] of skeleton) {
    const [from, to] = [points[one], points[other]];
    if (!from || !to || from[2] < LEAST_KEYPOINT || to[2] < LEAST_KEYPOINT) continue;
    context.beginPath();
    context.moveTo(from[0] * scale, from[1] * scale);
    context.lineTo(to[0] * scale, to[1] * scale);
    context.stroke();
  }
  for (const [x, y, score] of points) {
    if (score < LEAST_KEYPOINT) continue;
    context.beginPath();
    context.arc(x * scale, y * scale, line(context) * 1.6, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = "rgb(0 0 0 / 60%)";
    context.stroke();
  }
}

function drawLabel(context, instance, scale, names) {
  const size = 13 * context.unit;
  const text = `${nameOf(instance.label, names)} ${instance.score.toFixed(2)}`;
  context.font = `600 ${size}px system-ui, "Segoe UI", sans-serif`;
  context.textBaseline = "top";
  const width = context.measureText(text).width + size * 0.7;
  const height = size * 1.45;
  const x = Math.max(0, Math.min(instance.box[0] * scale, context.canvas.width - width));
  const above = instance.box[1] * scale - height;
  const y = above >= 0 ? above : Math.min(instance.box[1] * scale, context.canvas.height - height);
  context.fillStyle = colourOf(instance.label);
  context.beginPath();
  // browsers of before 2022 have no rounded ones
  if (context.roundRect) context.roundRect(x, y, width, height, size * 0.25);
  else context.rect(x, y, width, height);
  context.fill();
  context.fillStyle = inkOn(colourOf(instance.label));
  context.fillText(text, x + size * 0.35, y + size * 0.25);
}

export function nameOf(label, names) {
  return names[label] ?? `class ${label}`;
}

function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16) / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  // black or white, whichever has the better contrast (WCAG)
  return (light + 0.05) / 0.05 > 1.05 / (light + 0.05) ? "#000" : "#fff";
}
