"use strict";
// The live page: it loads its sections again when its server says that they changed.
(() => {
  const sections = (of) => of.querySelectorAll("main > section");
  const time = document.querySelector(".made time"), state = document.querySelector(".made [role=status]");
  // As they were loaded: drawing changes what is shown. This script runs before anything is drawn.
  const loaded = new Map([...sections(document)].map((one) => [one.id, one.outerHTML]));
  let version = Number(document.body.dataset.version), source = null;

  async function load() {
    const answer = await fetch("update", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const one of sections(fresh)) {
      if (loaded.get(one.id) === one.outerHTML) continue;
      loaded.set(one.id, one.outerHTML);
      await report.receive(document.adoptNode(one));
    }
    version = Number(fresh.body.dataset.version);
  }

  let queue = Promise.resolve();  // one update after the other
  const lost = () => { state.textContent = "· The server does not answer: this may be old."; };

  function heard({ data }) {
    const news = JSON.parse(data);
    queue = queue.then(async () => {
      if (news.version > version) await load();
      time.textContent = news.made;
      state.textContent = "";
    }).catch(lost);
  }

  // A tab that is not seen asks for nothing: browsers keep six connections to a server open at most.
  function follow() {
    source?.close();
    source = document.hidden ? null : new EventSource("events");
    if (source) Object.assign(source, { onmessage: heard, onerror: lost });
  }
  document.addEventListener("visibilitychange", follow);
  follow();
})();
