// The page: pictures in, what was found out; all drawing happens here, so nothing is asked twice.

import {ask, pause, Refused, sendPicture, whenRestarted} from "./api.js";
import {toCoco} from "./coco.js";
import {colourOf} from "./colours.js";
import {chosen, draw, nameOf} from "./draw.js";

const AT_ONCE = 3; // files on their way to the program
const ASK_EVERY = 300; // milliseconds between questions for results
const FEW_CLASSES = 12; // more are folded, but for those that were found
const PRINTED = 400; // pixels of the screen that a picture of the record has when it is read
const MOST_IN_RECORD = 200;

const $ = (id) => document.getElementById(id);
const view = {threshold: 0.5, hidden: new Set(), layers: {boxes: true, masks: true, keypoints: true, labels: true}};
const pictures = []; // {file, state, id, result, image, error, hint, button}
let facts = {title: "", names: [], keypoint_names: [], skeleton: [], facts: [], records: [], largest_bytes: 0};
let current = -1;
let unfolded = false;
let restarted = false;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function announce(text) {
  $("status").textContent = text;
}

function complain(error) {
  $("banner").textContent = error.hint ? `${error.message}: ${error.hint}` : error.message;
  $("banner").hidden = false;
}

// --- pictures on their way -----------------------------------------------------------------------------------

const unsent = [];
let senders = 0;
let asking = false;

function add(files) {
  for (const file of files) {
    const picture = {file, state: "sending"};
    picture.button = thumbnail(picture);
    $("strip").append(element("li", {}, picture.button));
    pictures.push(picture);
    if (file.size > facts.largest_bytes) fail(picture, {message: `it is larger than ${facts.largest_bytes >> 20} MB`, hint: "make it smaller"});
    else if (!file.size) fail(picture, {message: "it is empty", hint: ""});
    else unsent.push(picture);
  }
  $("drop").classList.toggle("small", pictures.length > 0);
  if (current < 0 && pictures.length) show(0);
  while (senders < AT_ONCE && senders < unsent.length) send();
  refresh();
}

async function send() {
  senders++;
  for (let picture; (picture = unsent.shift());) {
    try {
      picture.id = await sendPicture(picture.file);
      picture.state = "waiting";
      askForResults();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fail(picture, error);
      if (error.status === 0) complain(error);
    }
    refresh();
  }
  senders--;
}

async function askForResults() {
  if (asking) return;
  asking = true;
  for (;;) {
    const waiting = pictures.filter((one) => one.state === "waiting").slice(0, 50);
    if (!waiting.length) break;
    try {
      const answers = await ask(`/api/pictures?ids=${waiting.map((one) => one.id).join(",")}`);
      $("banner").hidden = !restarted;
      await Promise.all(waiting.map((one) => receive(one, answers[one.id])));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      complain(error);
      await pause(2000);
    }
    await pause(ASK_EVERY);
  }
  asking = false;
}

async function receive(picture, answer) {
  if (answer.state === "failed") fail(picture, {message: answer.error, hint: answer.hint});
  if (answer.state === "unknown") fail(picture, {message: "the program was restarted before it was looked at", hint: "add it again"});
  if (answer.state !== "done") return;
  picture.result = answer;
  picture.image = new Image();
  picture.image.src = `/api/pictures/${picture.id}.jpg`;
  try {
    await picture.image.decode();
  } catch {
    fail(picture, {message: "it did not arrive back", hint: "add it again"});
    return;
  }
  picture.state = "done";
  picture.button.replaceChildren(element("img", {src: picture.image.src, alt: ""}), element("span", {className: "badge"}));
  told();
  refresh();
}

function fail(picture, {message, hint}) {
  picture.state = "failed";
  picture.error = message;
  picture.hint = hint;
  picture.button.replaceChildren(element("span", {className: "failed", textContent: "!"}));
  told();
  refresh();
}

function told() {
  const answered = pictures.filter((one) => one.state === "done" || one.state === "failed").length;
  announce(`${answered} of ${pictures.length} pictures done`);
}

function thumbnail(picture) {
  const button = element("button", {type: "button"}, element("div", {className: "spinner"}));
  button.addEventListener("click", () => show(pictures.indexOf(picture)));
  return button;
}

// --- what is shown --------------------------------------------------------------------------------------------

function show(index) {
  current = Math.max(0, Math.min(index, pictures.length - 1));
  pictures.forEach((one, number) => one.button.setAttribute("aria-current", String(number === current)));
  pictures[current].button.scrollIntoView({block: "nearest", inline: "nearest"});
  refresh();
}

let planned = false;

function refresh() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    render();
  });
}

function render() {
  const picture = pictures[current];
  $("viewer").hidden = !picture;
  if (picture) renderViewer(picture);
  renderStrip();
  renderFound(picture);
  renderClasses();
  renderLayers();
  const done = pictures.filter((one) => one.state === "done");
  $("downloads").hidden = !done.length;
  $("save-picture").disabled = $("save-coco").disabled = !picture?.result || picture.state !== "done";
  $("accept-button").disabled = !done.length;
}

function renderViewer(picture) {
  const done = picture.state === "done";
  $("canvas").hidden = !done;
  $("placeholder").hidden = done;
  $("position").textContent = `${current + 1} of ${pictures.length}`;
  $("previous").disabled = current === 0;
  $("next").disabled = current === pictures.length - 1;
  const caption = $("caption");
  caption.replaceChildren(element("span", {className: "name", textContent: picture.file.name}));
  if (done) {
    const {width, height, milliseconds, note} = picture.result;
    const meta = [`${width} × ${height} pixels`, `found in ${took(milliseconds)}`, ...(note ? [note] : [])].join(" · ");
    caption.append(" ", element("span", {className: "meta", textContent: meta}));
    const canvas = $("canvas");
    size(canvas, picture);
    const unit = canvas.width / (canvas.clientWidth || canvas.width);
    const found = draw(canvas, picture.image, picture.result, view, facts.names, facts.skeleton, unit);
    canvas.setAttribute("aria-label", `${picture.file.name}: ${inWords(found)}`);
  } else if (picture.state === "failed") {
    $("placeholder").replaceChildren(
      element("strong", {textContent: `${picture.file.name}: ${picture.error}`}),
      element("span", {textContent: picture.hint}),
    );
  } else {
    const text = picture.state === "sending" ? "on its way to the program" : "waits for the model";
    $("placeholder").replaceChildren(element("div", {className: "spinner"}), element("p", {textContent: text}));
  }
}

// The canvas has the pixels of the picture that came back; a small picture is drawn larger, for its lines and names.
function size(canvas, {image}) {
  const enlarge = Math.max(1, Math.min(8, Math.floor(900 / Math.max(image.naturalWidth, image.naturalHeight))));
  const [width, height] = [image.naturalWidth * enlarge, image.naturalHeight * enlarge];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
}

function took(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function inWords(found) {
  const counts = new Map();
  found.forEach((one) => counts.set(one.label, (counts.get(one.label) ?? 0) + 1));
  return [...counts].map(([label, count]) => `${count} ${nameOf(label, facts.names)}`).join(", ") || "nothing found";
}

function renderStrip() {
  for (const picture of pictures) {
    const found = picture.state === "done" ? chosen(picture.result, view) : [];
    const badge = picture.button.querySelector(".badge");
    if (badge) badge.textContent = found.length;
    const text = {done: inWords(found), failed: picture.error, sending: "on its way", waiting: "waits"}[picture.state];
    picture.button.setAttribute("aria-label", `${picture.file.name}: ${text}`);
    picture.button.title = `${picture.file.name}: ${text}`;
  }
}

function renderFound(picture) {
  const found = picture?.state === "done" ? chosen(picture.result, view) : [];
  $("found").hidden = !found.length;
  $("found-none").hidden = found.length > 0;
  $("found-none").textContent = !picture ? "No picture yet." : picture.state !== "done" ? "Not looked at." :
    `Nothing with a score of ${view.threshold.toFixed(2)} or more.`;
  $("found").tBodies[0].replaceChildren(...found.map((one) => {
    const swatch = element("span", {className: "swatch"});
    swatch.style.background = colourOf(one.label);
    const name = element("span", {className: "class"}, swatch, nameOf(one.label, facts.names));
    return element("tr", {}, element("td", {}, name), element("td", {textContent: one.score.toFixed(2)}),
      element("td", {textContent: one.box.map(Math.round).join(", ")}));
  }));
}

// Masks and keypoints can be switched where some were found.
function renderLayers() {
  const found = pictures.flatMap((one) => (one.state === "done" ? one.result.instances : []));
  for (const [layer, key] of [["masks", "mask"], ["keypoints", "keypoints"]]) {
    document.querySelector(`[data-layer="${layer}"]`).closest("label").hidden = !found.some((one) => one[key]);
  }
}

function renderClasses() {
  const counts = new Map();
  for (const picture of pictures.filter((one) => one.state === "done")) {
    for (const one of picture.result.instances) if (one.score >= view.threshold) counts.set(one.label, (counts.get(one.label) ?? 0) + 1);
  }
  const labels = [...facts.names.keys()];
  for (const label of counts.keys()) if (!labels.includes(label)) labels.push(label);
  const folded = !unfolded && labels.length > FEW_CLASSES;
  const listed = folded ? labels.filter((label) => counts.has(label) || view.hidden.has(label)) : labels;
  const list = $("classes");
  const focused = document.activeElement?.dataset?.label;
  list.replaceChildren(...listed.map((label) => classLine(label, counts.get(label) ?? 0)));
  if (focused !== undefined) list.querySelector(`[data-label="${focused}"]`)?.focus();
  $("more-classes").hidden = labels.length <= FEW_CLASSES;
  $("more-classes").textContent = folded ? `show all ${labels.length} classes` : "show those that were found";
  $("more-classes").setAttribute("aria-expanded", String(!folded));
}

function classLine(label, count) {
  const box = element("input", {type: "checkbox", checked: !view.hidden.has(label)});
  box.dataset.label = label;
  const swatch = element("span", {className: "swatch"});
  swatch.style.background = colourOf(label);
  const counted = element("span", {className: "count", textContent: count || ""});
  return element("li", {}, element("label", {}, box, swatch, nameOf(label, facts.names), counted));
}

// --- downloads and the record ------------------------------------------------------------------------------------

function save(blob, name) {
  const link = element("a", {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function stem(name) {
  return name.replace(/\.[^.]*$/, "") || "picture";
}

function savePicture() {
  const {file} = pictures[current];
  $("canvas").toBlob((blob) => save(blob, `${stem(file.name)}-found.png`), "image/png");
}

function saveCoco(chosenPictures, name) {
  const text = JSON.stringify(toCoco(chosenPictures, view, facts), null, 1);
  save(new Blob([text], {type: "application/json"}), name);
}

async function seen(picture) {
  const canvas = element("canvas");
  size(canvas, picture);
  draw(canvas, picture.image, picture.result, view, facts.names, facts.skeleton, canvas.width / PRINTED);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.88));
}

async function accept(event) {
  event.preventDefault();
  const done = pictures.filter((one) => one.state === "done").slice(0, MOST_IN_RECORD);
  const form = new FormData();
  form.set("record", JSON.stringify({
    name: $("who").value,
    remark: $("remark").value,
    threshold: view.threshold,
    classes: facts.names.filter((_, label) => !view.hidden.has(label)),
    pictures: done.map((one) => one.id),
  }));
  $("accept-button").disabled = true;
  $("accept-hint").textContent = "Writing the record …";
  try {
    for (const picture of done) form.append("picture", await seen(picture), "seen.jpg");
    const record = await ask("/api/records", {method: "POST", body: form});
    $("accept-hint").textContent = "The record is written. It lies in the folder “accepted” of the installation.";
    announce(`the record ${record.name} is written`);
    $("records").prepend(recordLine(record.name, true));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    $("accept-hint").textContent = "";
    complain(error);
  }
  refresh();
}

function recordLine(name, isNew) {
  const link = element("a", {href: `/records/${encodeURIComponent(name)}/record.html`, textContent: name, target: "_blank"});
  return element("li", {className: isNew ? "new" : ""}, link);
}

// --- the rest ------------------------------------------------------------------------------------------------------

function listen() {
  $("files").addEventListener("change", (event) => {
    add([...event.target.files]);
    event.target.value = "";
  });
  for (const name of ["dragover", "dragenter"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("drop").classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => $("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    add([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) add([...event.clipboardData.files]);
  });
  $("threshold").addEventListener("input", (event) => {
    view.threshold = Number(event.target.value);
    $("threshold-value").textContent = view.threshold.toFixed(2);
    refresh();
  });
  $("layers").addEventListener("change", (event) => {
    view.layers[event.target.dataset.layer] = event.target.checked;
    refresh();
  });
  $("classes").addEventListener("change", (event) => {
    const label = Number(event.target.dataset.label);
    event.target.checked ? view.hidden.delete(label) : view.hidden.add(label);
    refresh();
  });
  $("all-classes").addEventListener("click", () => (view.hidden.clear(), refresh()));
  $("no-classes").addEventListener("click", () => {
    facts.names.forEach((_, label) => view.hidden.add(label));
    refresh();
  });
  $("more-classes").addEventListener("click", () => ((unfolded = !unfolded), refresh()));
  $("previous").addEventListener("click", () => show(current - 1));
  $("next").addEventListener("click", () => show(current + 1));
  $("viewer").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      event.preventDefault();
      show(current + (event.key === "ArrowLeft" ? -1 : 1));
    }
  });
  window.addEventListener("resize", refresh);
  $("save-picture").addEventListener("click", savePicture);
  $("save-coco").addEventListener("click", () => saveCoco([pictures[current]], `${stem(pictures[current].file.name)}-coco.json`));
  $("save-all").addEventListener("click", () => saveCoco(pictures.filter((one) => one.state === "done"), "found-coco.json"));
  $("accept").addEventListener("submit", accept);
  whenRestarted(() => (restarted = true, complain({message: "another program answers at this address now", hint: "reload the page; what it shows was found by the one before"})));
}

async function start() {
  listen();
  try {
    facts = await ask("/api/facts");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    complain(error);
    return;
  }
  document.title = `${facts.title}: what the model finds`;
  $("title").textContent = facts.title.replace("@", " ");
  const device = facts.facts.find(([name]) => name === "Device");
  const weights = facts.facts.find(([name]) => name === "Weights");
  $("summary").textContent = [weights, device].filter(Boolean).map(([, value]) => value).join(" · ");
  $("facts").replaceChildren(...facts.facts.map(([name, value]) =>
    element("tr", {}, element("th", {scope: "row", textContent: name}), element("td", {textContent: value}))));
  $("checks").hidden = !facts.has_checks;
  $("records").replaceChildren(...facts.records.slice(0, 20).map((name) => recordLine(name, false)));
  render();
}

start();
