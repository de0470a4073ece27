"use strict";
/* The shell: where data comes from, what the address says, the frame around the views. */
(function (E) {
  const { html, render, useEffect, useState, useMemo, useRef } = htmPreact, F = E.format;
  const VIEWS = [["overview", "Overview"], ["lineage", "Lineage"], ["story", "Story"], ["variant", "Variant"], ["map", "Map"], ["compare", "Compare"], ["control", "Control"]];

  // ------------------------------------------------------------------------- where data comes from: a server
  E.Live = class Live {
    constructor() {
      this.token = takeToken();
      this.list = [];
      this.known = new Map();
    }

    async ask(path, options = {}) {
      const headers = { ...(this.token ? { Authorization: `Bearer ${this.token}` } : {}), ...(options.headers || {}) };
      let answer;
      try { answer = await fetch(path, { ...options, headers, cache: "no-store" }); } catch (error) { if (error.name === "AbortError") throw error; throw new Error("The server does not answer; is evolve ui still running?"); }
      if (answer.status === 401) throw new Error("This server wants a token: open the address that evolve ui has printed.");
      if (!answer.ok) { const body = await answer.json().catch(() => ({})); throw new Error(body.error || `${answer.status} ${answer.statusText}`); }
      return answer;
    }

    async json(path, options) { return (await this.ask(path, options)).json(); }

    async start() {
      const told = await this.json("api/runs");
      this.list = told.runs;
      this.mayControl = told.control;
    }

    load(key) { return this.json(`api/runs/${key}`); }

    kept(name, make) { // a variant does not change
      if (!this.known.has(name)) {
        this.known.set(name, make().catch((error) => { this.known.delete(name); throw error; }));
        if (this.known.size > 60) this.known.delete(this.known.keys().next().value);
      }
      return this.known.get(name);
    }

    variant(key, id) { return this.kept(`${key}/${id}`, () => this.json(`api/runs/${key}/variants/${encodeURIComponent(id)}`)); }
    duel(key, number) { return this.json(`api/runs/${key}/duels/${number}`); }
    heat(key) { return this.json(`api/runs/${key}/heat`); }
    plane(key) { return this.json(`api/runs/${key}/plane`); }
    async files(key, id) { return [[`${id}.zip`, await (await this.ask(`api/runs/${key}/variants/${encodeURIComponent(id)}/files.zip`)).blob()]]; }
    control(key, request) { return this.json(`api/runs/${key}/control`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) }); }

    /* Server-sent events, read by fetch, as EventSource cannot send a token. */
    async follow(key, rows, epoch, signal, tell) {
      const answer = await this.ask(`api/runs/${key}/follow?rows=${rows}&epoch=${epoch}`, { signal, headers: { Accept: "text/event-stream" } });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        text += value;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const data = text.slice(0, end).split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
          if (data) tell(JSON.parse(data));
        }
      }
    }
  };

  function takeToken() { // it comes behind the # and does not stay in the address
    const state = new URLSearchParams(location.hash.slice(1)), token = state.get("token");
    if (token) {
      sessionStorage.setItem("token", token);
      state.delete("token");
      history.replaceState(null, "", "#" + state);
    }
    return sessionStorage.getItem("token");
  }

  // ------------------------------------------------------------------ where data comes from: this very file
  E.Kept = class Kept {
    constructor(told) { this.told = told; this.list = told.runs.map((each) => each.listed); this.mayControl = false; this.report = true; }
    async start() {}
    async load(key) { return this.told.runs.find((each) => each.listed.key === key).loaded; }
    async part(key) {
      const packed = this.told.packed[key];
      if (packed === undefined) return {};
      this.parts = this.parts || {};
      this.parts[key] = this.parts[key] || (async () => {
        const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
        return JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text());
      })();
      return this.parts[key];
    }
    async variant(key, id) {
      const found = (await this.part(key)).variants || {};
      if (!found[id]) throw new Error(`This report has the programs of the ${Object.keys(found).length} variants that matter most; evolve show ${this.list[0].name} ${id} has this one.`);
      return found[id];
    }
    async duel(key, number) {
      const found = ((await this.part(key)).duels || {})[number];
      if (!found) throw new Error(`This report leaves out the pairs of duel ${number}; evolve show has them.`);
      return found;
    }
    async heat(key) { return (await this.part(key)).heat || { rows: [], cases: 0 }; }
    async plane(key) { return (await this.part(key)).plane || { measures: [] }; }
    async files(key, id) { return Object.entries((await this.variant(key, id)).files).map(([path, text]) => [path.split("/").pop(), new Blob([text])]); }
    async follow() {}
  };

  // ------------------------------------------------------------------------------------------- the address
  E.href = (state) => "#" + new URLSearchParams(Object.entries(state).filter(([, v]) => v !== undefined && v !== null && v !== ""));
  const readAddress = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

  function useAddress() {
    const [state, setState] = useState(readAddress());
    useEffect(() => {
      const heard = () => setState(readAddress());
      addEventListener("hashchange", heard);
      return () => removeEventListener("hashchange", heard);
    }, []);
    const go = (changes, here) => {
      const next = { ...readAddress(), ...changes };
      const address = E.href(next);
      if (here) { history.replaceState(null, "", address); setState(readAddress()); }
      else location.hash = address;
    };
    return [state, go];
  }

  // ------------------------------------------------------------------------------------------------ colours
  function readPalette() {
    const style = getComputedStyle(document.documentElement), of = (name) => style.getPropertyValue("--" + name).trim();
    const dark = of("dark") === "1";
    return {
      dark, surface: of("surface"), text: of("text"), muted: of("muted"), grid: of("grid"), edge: of("edge"), none: of("none"), shadow: of("shadow"),
      champion: of("champion"), onChampion: of("on-champion"), chosen: of("accent"), below: of("below"), duel: of("duel"), open: of("open"), leader: of("leader"), bad: of("bad"),
      seen: of("seen"), band: of("band"),
      ramp: dark ? ["#3b3f8f", "#3f5ba6", "#3a78ad", "#3494a8", "#3eb095", "#6cc97c", "#a9dc63", "#e9e85a"] : ["#a9a4d6", "#7f8fd0", "#5b86c4", "#3d83ab", "#2a7f8c", "#1f7a68", "#207343", "#3d6a12"],
      kinds: dark ? ["#6ea8fe", "#f4a259", "#5fd3a4", "#e88bd0", "#c5b3ff", "#e6d45c", "#7fd6e8", "#ff8f87", "#a3b18a", "#9aa3b2"] : ["#2563c9", "#c2570c", "#0f8a5f", "#b0308f", "#6d4bd0", "#8a7300", "#0e7f96", "#c0392f", "#5d7040", "#6b7280"],
    };
  }

  function useTheme() {
    const kept = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
    const [theme, setTheme] = useState(kept || "auto"), [palette, setPalette] = useState(null);
    useEffect(() => {
      document.documentElement.dataset.theme = theme;
      try { localStorage.setItem("theme", theme); } catch { /* a page without storage forgets it */ }
      setPalette(readPalette());
      const media = matchMedia("(prefers-color-scheme: dark)"), heard = () => setPalette(readPalette());
      media.addEventListener("change", heard);
      return () => media.removeEventListener("change", heard);
    }, [theme]);
    return [theme, setTheme, palette];
  }

  // ---------------------------------------------------------------------------------------------- the frame
  function App({ source }) {
    const [state, go] = useAddress(), [theme, setTheme, palette] = useTheme(), [trouble, setTrouble] = useState(null), [version, setVersion] = useState(0);
    const runs = useRef(new Map()), beginning = useRef(new Map()), again = () => setVersion((n) => n + 1);
    const key = source.list.some((each) => each.key === state.run) ? state.run : (source.list.find((each) => each.begun) || source.list[0] || {}).key;
    const listed = source.list.find((each) => each.key === key);

    const take = (key, told, reset) => {
      const known = runs.current.get(key);
      if (!told.head.begun) beginning.current.set(key, told.head);
      else if (known && !reset && known.epoch === told.epoch) {
        known.update(told.head, told.rows);
      } else {
        const run = new E.Run(key, told.head, told.rows);
        run.epoch = told.epoch;
        runs.current.set(key, run);
      }
      again();
    };
    const load = (key) => source.load(key).then((told) => { if (!runs.current.has(key)) take(key, told, true); }, (error) => setTrouble(String(error.message || error)));

    useEffect(() => {
      if (key === undefined) return;
      const stop = new AbortController();
      let open = true;
      setTrouble(null);
      (async () => {
        for (let wait = 500; open; wait = Math.min(8000, wait * 2)) {
          try {
            if (!runs.current.has(key)) take(key, await source.load(key), true);
            setTrouble(null);
            if (source.report) return;
            const run = runs.current.get(key);
            await source.follow(key, run ? run.size : 0, run ? run.epoch : -1, stop.signal, (told) => {
              wait = 500;
              setTrouble(told.error || null);
              if (told.head) take(key, told, told.reset);
            });
          } catch (error) {
            if (!open || error.name === "AbortError") return;
            setTrouble(String(error.message || error));
          }
          await new Promise((done) => setTimeout(done, wait));
        }
      })();
      return () => { open = false; stop.abort(); };
    }, [key]);
    useEffect(() => { // runs come and go
      if (source.report) return;
      const timer = setInterval(() => source.start().then(again, () => {}), 5000);
      return () => clearInterval(timer);
    }, []);

    const run = runs.current.get(key), view = VIEWS.some(([name]) => name === state.view) ? state.view : "overview";
    const shown = VIEWS.filter(([name]) => (name !== "control" || !source.report) && (name !== "compare" || source.list.length > 1 || view === "compare"));
    useEffect(() => { document.title = `${run ? run.head.name + ", " : ""}${VIEWS.find(([name]) => name === view)[1]}: evolve`; }, [run, view]);
    useEffect(() => {
      const heard = (event) => {
        if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
        const at = Number(event.key) - 1;
        if (shown[at] && event.target.id !== "lineage-canvas") { go({ view: shown[at][0], run: key }); event.preventDefault(); }
        if (event.key === "/") {
          event.preventDefault();
          const search = document.getElementById("search");
          if (search) search.focus(); else { searching.current = true; go({ view: "lineage", run: key }); }
        }
      };
      addEventListener("keydown", heard);
      return () => removeEventListener("keydown", heard);
    });
    const main = useRef();
    const first = useRef(true), searching = useRef(false); // the latter: the view that is to come gives the focus to its search
    useEffect(() => { if (first.current) first.current = false; else { window.scrollTo(0, 0); main.current.focus({ preventScroll: true }); } }, [view, key]);
    useEffect(() => {
      const search = searching.current && document.getElementById("search");
      if (search) { searching.current = false; search.focus(); }
    });
    if (!palette) return null;
    const props = { run, runs: runs.current, source, state, go, palette, load };
    const body = () => {
      if (key === undefined) return html`<div class="panel empty-page"><h2>No runs yet</h2><p>Start one: <code>evolve run tsp_constructive --seconds 60</code>. It appears here as soon as it is there.</p></div>`;
      if (view === "compare") return html`<${E.CompareView} ...${props} />`;
      if (!run) {
        if (listed.trouble || trouble) return html`<div class="panel empty-page"><h2>This run cannot be shown</h2><${E.Trouble} text=${listed.trouble || trouble} /><p class="quiet">It is looked at again every few seconds.</p></div>`;
        if (beginning.current.has(key)) return html`<div class="panel empty-page"><h2>${beginning.current.get(key).events ? "The run is beginning" : "The run is empty"}</h2><p role="status">${beginning.current.get(key).events ? "The seed has not been evaluated yet; this page waits for it." : "Nothing was written to it yet; this page waits for its first event."}</p></div>`;
        return html`<${E.Waiting} what="the run" />`;
      }
      return { overview: () => html`<${E.Overview} ...${props} />`, lineage: () => html`<${E.Lineage} ...${props} />`, story: () => html`<${E.StoryView} ...${props} />`, variant: () => html`<${E.VariantView} ...${props} />`, map: () => html`<${E.MapView} ...${props} />`, control: () => html`<${E.ControlView} ...${props} />` }[view]();
    };
    const head = run && run.head;
    const status = head && (source.report ? ["still", "report"] : head.live ? (head.paused ? ["wait", "paused"] : ["live", "live"]) : ["still", head.stopped_by ? "finished" : "not running"]);
    return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus(); }}>To the content</a>
      <header class="top"><div class="brand"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 20V9a5 5 0 0 1 5-5h1M5 13h7a5 5 0 0 1 5 5v2" /><circle cx="5" cy="20" r="2" /><circle cx="13" cy="4" r="2" /><circle cx="17" cy="20" r="2" /></svg><h1>evolve</h1></div>
        ${source.list.length > 0 && html`<label class="field run"><span class="unseen">Run</span><select id="run" value=${key} onChange=${(e) => go({ run: e.target.value, v: undefined, view })}>${source.list.map((each) => html`<option value=${each.key} selected=${each.key === key}>${each.name}${each.live ? " (live)" : ""}${each.trouble ? " (cannot be read)" : ""}</option>`)}</select></label>`}
        ${status && html`<span class="pill ${status[0]}" role="status">${status[1]}</span>`}
        <span class="grow"></span>
        ${head && html`<span class="quiet totals">${head.problem} · ${F.plural(head.trials, "attempt")} · ${F.duration(head.seconds)}${head.usd ? ` · ${F.dollars(head.usd)}` : ""}${head.live && head.rate ? ` · ${head.rate.toFixed(1)} evaluations/s` : ""}</span>`}
        <div class="switch" role="group" aria-label="Colours">${[["light", "light"], ["auto", "auto"], ["dark", "dark"]].map(([name, text]) => html`<button type="button" aria-pressed=${theme === name} onClick=${() => setTheme(name)}>${text}</button>`)}</div></header>
      <nav aria-label="Views">${shown.map(([name, text], n) => html`<a href=${E.href({ run: key, view: name, v: ["lineage", "variant"].includes(name) ? state.v : undefined })} aria-current=${name === view ? "page" : undefined} title=${`key ${n + 1}`}>${text}</a>`)}</nav>
      ${run && trouble && html`<${E.Trouble} text=${trouble} />`}
      <main id="main" ref=${main} tabindex="-1">${body()}</main>
      <footer><span class="quiet">Keys: 1 to ${shown.length} views, / search. Scores are raw${head && head.unit ? `, in ${head.unit}` : ""}; gains are positive where better; intervals are 95 %.</span></footer>`;
  }

  async function main() {
    const kept = document.getElementById("kept"), root = document.getElementById("app");
    const source = kept ? new E.Kept(JSON.parse(kept.textContent)) : new E.Live();
    try { await source.start(); } catch (error) {
      render(html`<main class="panel empty-page"><h1>evolve</h1><p class="trouble" role="alert">${String(error.message || error)}</p></main>`, root);
      return;
    }
    root.textContent = "";
    render(html`<${App} source=${source} />`, root);
  }
  main();
})(evolve);
