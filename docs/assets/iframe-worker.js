/* The search runs in a Web Worker, which browsers refuse to pages that are opened from a directory
   (file:). There its script runs in a hidden frame instead. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = inside.document.createElement("script");
          script.src = new URL(source, document.baseURI);
          script.onload = resolve;
          script.onerror = () => reject(new Error(`cannot load ${script.src}`));
          inside.document.body.append(script);
        });
      inside.importScripts = async (...sources) => {
        for (const source of sources) await load(source);
      };
      inside.postMessage = (data) => this.#deliver(this, MessageEvent, data);
      this.terminate = () => frame.remove();
      // Messages wait until the script listens.
      const started = load(url);
      this.postMessage = (data) =>
        started.then(() => this.#deliver(inside, inside.MessageEvent, data));
    }

    #deliver(target, Event, data) {
      target.dispatchEvent(new Event("message", { data }));
    }

    set onmessage(listener) {
      this.addEventListener("message", listener);
    }
  };
}
