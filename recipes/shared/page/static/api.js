// What the page asks the program, and what it makes of answers that are none.

export class Refused extends Error {
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint || "";
  }
}

let instance = null;
let onRestart = () => {};

export function whenRestarted(callback) {
  onRestart = callback;
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, {...options, headers: {"X-Wheelferry": "1", ...options.headers}});
  } catch {
    throw new Refused(0, "the program does not answer", "was it ended? Start it again; this page goes on then");
  }
  const now = answer.headers.get("X-Wheelferry-Instance");
  if (instance && now && now !== instance) onRestart();
  instance = instance || now;
  let document = {};
  try {
    document = await answer.json();
  } catch {
    if (answer.ok) throw new Refused(answer.status, "the program's answer makes no sense", "reload the page");
  }
  if (!answer.ok) throw new Refused(answer.status, document.error || `the program refused it (${answer.status})`, document.hint);
  return document;
}

// Sends one file; waits where too many are waiting already.
export async function sendPicture(file) {
  for (;;) {
    try {
      const path = `/api/pictures?name=${encodeURIComponent(file.name)}`;
      return (await ask(path, {method: "POST", body: file, headers: {"Content-Type": "application/octet-stream"}})).id;
    } catch (error) {
      if (error.status !== 503) throw error;
      await pause(1500);
    }
  }
}

export function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}
