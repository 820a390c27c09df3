// What is shown as a document of COCO's format; masks are its compressed run lengths.

import {chosen, nameOf} from "./draw.js";

export function toCoco(pictures, view, facts) {
  const labels = new Set(facts.names.keys());
  const images = [], annotations = [];
  pictures.forEach(({result}, index) => {
    images.push({id: index + 1, file_name: result.name, width: result.width, height: result.height});
    for (const one of chosen(result, view)) {
      labels.add(one.label);
      annotations.push(annotation(one, annotations.length + 1, index + 1));
    }
  });
  return {
    info: {description: `found by ${facts.title} with a score of ${view.threshold} or more`, date_created: new Date().toISOString()},
    images,
    annotations,
    categories: [...labels].sort((a, b) => a - b).map((label) => category(label, facts)),
  };
}

function category(label, facts) {
  const item = {id: label + 1, name: nameOf(label, facts.names)};
  if (!facts.keypoint_names.length) return item;
  return {...item, keypoints: facts.keypoint_names, skeleton: facts.skeleton.map((pair) => pair.map((number) => number + 1))};
}

function annotation(one, id, image) {
  const [left, top, right, bottom] = one.box;
  const box = [left, top, right - left, bottom - top].map((value) => Math.round(value * 100) / 100);
  const item = {
    id, image_id: image, category_id: one.label + 1, bbox: box, score: one.score, iscrowd: 0,
    area: one.area ?? Math.round(box[2] * box[3] * 100) / 100,
  };
  if (one.mask) item.segmentation = one.mask;
  else if (one.corners) item.segmentation = [one.corners.flat()];
  if (one.keypoints) {
    item.keypoints = one.keypoints.flatMap(([x, y]) => [x, y, 2]);
    item.num_keypoints = one.keypoints.length;
  }
  return item;
}
