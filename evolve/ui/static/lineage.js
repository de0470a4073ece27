"use strict";
/* The tree of all variants on a canvas: zoom, pan, keyboard, colours with a meaning. */
(function (E) {
  const { html, useEffect, useRef, useState, useMemo } = htmPreact, F = E.format;
  const CELLS = 96; // of the grid that finds what the pointer is over
  const MOST_EDGES = 2500; // drawn in one picture, beside those of the lines that matter

  E.colourings = ["score", "operator", "model", "island", "failure"];

  /* A colour number for each row, the colours, and what they mean. */
  E.colours = function (run, by, palette) {
    const n = run.size, number = new Uint8Array(n);
    if (by === "score") {
      const layout = E.layoutByScore(run), ramp = palette.ramp, none = ramp.length;
      for (let row = 0; row < n; row++)
        number[row] = run.rows.score[row] === null ? none
          : Math.max(0, Math.min(ramp.length - 1, Math.floor((1 - (layout.y[row] - 0.03) / 0.9) * ramp.length)));
      return { number, colours: [...ramp, palette.none], legend: [
        { colour: ramp[0], text: F.number(layout.low) + " or worse" }, { ramp }, { colour: ramp[ramp.length - 1], text: F.number(layout.best) }, { colour: palette.none, text: "no score" }] };
    }
    const names = run.head.names, column = by === "failure" ? "failure" : by;
    const table = { operator: names.operators, model: names.models, island: names.islands, failure: names.failures }[by];
    const counts = table.map(() => 0);
    let without = 0;
    for (const code of run.rows[column]) code < 0 ? without++ : counts[code]++;
    const most = palette.kinds.length, order = table.map((_, i) => i).sort((a, b) => counts[b] - counts[a]);
    const place = new Map(order.map((code, rank) => [code, Math.min(rank, most - 1)]));
    for (let row = 0; row < n; row++) number[row] = run.rows[column][row] < 0 ? most : place.get(run.rows[column][row]);
    const legend = order.slice(0, most - 1).map((code, rank) => ({ colour: palette.kinds[rank], text: `${table[code]} (${F.count(counts[code])})` }));
    if (order.length >= most) {
      const rest = order.slice(most - 1), sum = rest.reduce((total, code) => total + counts[code], 0);
      legend.push({ colour: palette.kinds[most - 1], text: rest.length === 1 ? `${table[rest[0]]} (${F.count(sum)})` : `${rest.length} others (${F.count(sum)})` });
    }
    const nothing = { model: "no model", island: "no island", failure: "with a score", operator: "none" }[by];
    if (without) legend.push({ colour: palette.none, text: `${nothing} (${F.count(without)})` });
    return { number, colours: [...palette.kinds, palette.none], legend };
  };

  class Picture {
    constructor(canvas, told) {
      this.canvas = canvas;
      this.told = told;
      this.view = { k: 1, x: 0, y: 0 };
      this.hovered = -1;
      this.frame = 0;
      this.context = canvas.getContext("2d", { alpha: false });
    }

    resize() {
      const box = this.canvas.parentElement.getBoundingClientRect(), ratio = Math.min(2, window.devicePixelRatio || 1);
      this.width = Math.max(1, box.width);
      this.height = Math.max(1, box.height);
      this.ratio = ratio;
      this.canvas.width = Math.round(this.width * ratio);
      this.canvas.height = Math.round(this.height * ratio);
      this.ask();
    }

    set(state) {
      const moved = this.layout !== state.layout;
      Object.assign(this, state);
      if (moved) this.index();
      this.ask();
    }

    index() { // linked lists, a head a cell
      const { x, y } = this.layout, n = x.length;
      this.first = new Int32Array(CELLS * CELLS).fill(-1);
      this.next = new Int32Array(n);
      for (let row = 0; row < n; row++) {
        const cell = this.cell(x[row], y[row]);
        this.next[row] = this.first[cell];
        this.first[cell] = row;
      }
    }

    cell(x, y) {
      const at = (v) => Math.max(0, Math.min(CELLS - 1, Math.floor(v * CELLS)));
      return at(x) * CELLS + at(y);
    }

    ask() {
      if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
    }

    fit() { this.view = { k: 1, x: 0, y: 0 }; this.ask(); }

    zoom(factor, px = this.width / 2, py = this.height / 2) {
      const view = this.view, k = Math.max(0.8, Math.min(400, view.k * factor)), f = k / view.k;
      view.x = px - (px - view.x) * f;
      view.y = py - (py - view.y) * f;
      view.k = k;
      this.keep();
    }

    pan(dx, dy) { this.view.x += dx; this.view.y += dy; this.keep(); }

    keep() { // some of it stays in sight
      const { view, width, height } = this;
      view.x = Math.min(width * 0.7, Math.max(width * 0.3 - width * view.k, view.x));
      view.y = Math.min(height * 0.7, Math.max(height * 0.3 - height * view.k, view.y));
      this.moving = true; // drawn coarser until it rests
      clearTimeout(this.rest);
      this.rest = setTimeout(() => { this.moving = false; this.ask(); }, 150);
      this.ask();
    }

    at(row) {
      return [this.layout.x[row] * this.width * this.view.k + this.view.x, this.layout.y[row] * this.height * this.view.k + this.view.y];
    }

    centre(row) {
      const [x, y] = this.at(row), inside = x > 40 && y > 40 && x < this.width - 40 && y < this.height - 40;
      if (!inside) { this.view.x += this.width / 2 - x; this.view.y += this.height / 2 - y; }
      this.ask();
    }

    find(px, py, reach = 14) {
      const { view, width, height, layout } = this;
      const wx = (px - view.x) / (width * view.k), wy = (py - view.y) / (height * view.k);
      const rx = reach / (width * view.k), ry = reach / (height * view.k);
      const at = (v) => Math.max(0, Math.min(CELLS - 1, Math.floor(v * CELLS)));
      let best = -1, nearest = reach * reach;
      for (let cx = at(wx - rx); cx <= at(wx + rx); cx++)
        for (let cy = at(wy - ry); cy <= at(wy + ry); cy++)
          for (let row = this.first[cx * CELLS + cy]; row >= 0; row = this.next[row]) {
            const dx = (layout.x[row] - wx) * width * view.k, dy = (layout.y[row] - wy) * height * view.k;
            const d = dx * dx + dy * dy - (this.run.line.has(row) ? 30 : 0);
            if (d < nearest) { nearest = d; best = row; }
          }
      return best;
    }

    draw() {
      if (!this.layout || !this.run) return;
      const began = performance.now();
      const { context: c, width, height, ratio, view, run, palette, layout, colouring, matched, chosen } = this;
      const kx = width * view.k, ky = height * view.k, X = layout.x, Y = layout.y, n = X.length;
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.fillStyle = palette.surface;
      c.fillRect(0, 0, width, height);
      this.axes(c);
      const sees = (row) => {
        const x = X[row] * kx + view.x, y = Y[row] * ky + view.y;
        return x > -20 && x < width + 20 && y > -20 && y < height + 20;
      };
      // how many are in sight decides how large they are and how many lines fit
      let seen = 0;
      for (let row = 0; row < n; row++) seen += sees(row);
      const coarse = this.moving && seen > 4000, share = Math.min(1, (coarse ? MOST_EDGES / 5 : MOST_EDGES) / Math.max(1, seen)), threshold = share * 4294967295;
      c.lineWidth = 1;
      c.strokeStyle = palette.edge;
      c.beginPath();
      for (let row = 0; row < n; row++) {
        if (((row * 2654435761) >>> 0) > threshold || !sees(row)) continue;
        for (const parent of run.rows.parents[row]) this.edge(c, parent, row, kx, ky);
      }
      c.stroke();
      const around = chosen >= 0 ? run.ancestors(chosen) : null;
      if (around) {
        this.lines(c, [...around, chosen], palette.chosen, 1.5, kx, ky);
        const below = run.descendants(chosen, 4000);
        this.lines(c, below, palette.below, 1, kx, ky);
      }
      this.lines(c, run.line, palette.champion, 2.5, kx, ky);
      // dots: a pixel that is covered already is not painted again
      const size = Math.max(1.6, Math.min(5, 70 / Math.sqrt(Math.max(1, seen)))), grid = coarse ? 3 : 1.5;
      const across = Math.ceil(width / grid) + 2, cover = size < 3 ? new Uint8Array(across * (Math.ceil(height / grid) + 2)) : null;
      const isMatch = matched ? new Set(matched) : null;
      const { colours, groups } = colouring;
      for (let code = colours.length - 1; code >= 0; code--) {
        c.fillStyle = colours[code];
        for (const row of groups[code]) {
          if (isMatch && !isMatch.has(row)) continue;
          const x = X[row] * kx + view.x, y = Y[row] * ky + view.y;
          if (!(x > -6 && x < width + 6 && y > -6 && y < height + 6)) continue;
          if (cover) {
            const cell = Math.max(0, Math.floor(y / grid)) * across + Math.max(0, Math.floor(x / grid));
            if (cover[cell]) continue;
            cover[cell] = 1;
            c.fillRect(x - size, y - size, 2 * size, 2 * size);
          } else {
            c.beginPath();
            c.arc(x, y, size, 0, 6.2832);
            c.fill();
          }
        }
      }
      if (isMatch && matched.length < n) { // the rest stays visible as a shadow
        c.fillStyle = palette.shadow;
        for (let row = 0; row < n; row += n > 6000 ? 3 : 1)
          if (!isMatch.has(row) && sees(row)) c.fillRect(X[row] * kx + view.x - 1, Y[row] * ky + view.y - 1, 2, 2);
      }
      this.marks(c, size);
      this.took = performance.now() - began;
      this.told.drawn && this.told.drawn();
    }

    edge(c, from, to, kx, ky) {
      const { layout: { x, y, name }, view } = this;
      const ax = x[from] * kx + view.x, ay = y[from] * ky + view.y, bx = x[to] * kx + view.x, by = y[to] * ky + view.y;
      c.moveTo(ax, ay);
      if (name === "tree" && this.view.k > 1.5) c.bezierCurveTo((ax + bx) / 2, ay, (ax + bx) / 2, by, bx, by);
      else c.lineTo(bx, by);
    }

    lines(c, rows, colour, width, kx, ky) {
      const inside = rows instanceof Set ? rows : new Set(rows);
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.beginPath();
      for (const row of inside) {
        const parents = this.run.rows.parents[row];
        if (inside === this.run.line) { if (parents.length) this.edge(c, parents[0], row, kx, ky); }
        else for (const parent of parents) this.edge(c, parent, row, kx, ky);
      }
      c.stroke();
    }

    axes(c) {
      const { layout, palette, width, height, view } = this;
      c.font = "12px system-ui, sans-serif";
      c.strokeStyle = palette.grid;
      c.fillStyle = palette.muted;
      c.lineWidth = 1;
      c.textAlign = "left";
      if (layout.name !== "score") return;
      const at = (score) => (0.03 + 0.9 * (1 - (score - layout.low) / (layout.best - layout.low || 1))) * height * view.k + view.y;
      const shown = (layout.best - layout.low) / view.k, raw = Math.abs(shown) / 5, power = 10 ** Math.floor(Math.log10(raw || 1));
      const step = power * [1, 2, 5, 10].find((m) => m * power >= raw);
      const [a, b] = [Math.min(layout.low, layout.best), Math.max(layout.low, layout.best)];
      c.beginPath();
      for (let n = Math.ceil(a / step), drawn = 0; n * step <= b && drawn < 400; n++, drawn++) {
        const y = Math.round(at(n * step)) + 0.5;
        if (y < 14 || y > height - 8) continue;
        c.moveTo(0, y);
        c.lineTo(width, y);
        c.fillText(F.number(Number((n * step).toPrecision(10))), 8, y - 4);
      }
      c.stroke();
    }

    marks(c, size) {
      const { run, palette, chosen, hovered } = this, head = run.head;
      const ring = (row, radius, colour, width) => {
        if (row < 0) return;
        const [x, y] = this.at(row);
        c.strokeStyle = colour;
        c.lineWidth = width;
        c.beginPath();
        c.arc(x, y, radius, 0, 6.2832);
        c.stroke();
      };
      const seen = (row) => { const [x, y] = this.at(row); return x > -20 && x < this.width + 20 && y > -20 && y < this.height + 20; };
      for (const row of run.line) { // the champion's line
        if (!seen(row)) continue;
        const [x, y] = this.at(row);
        c.fillStyle = palette.champion;
        c.beginPath();
        c.arc(x, y, Math.max(3, size * 0.9), 0, 6.2832);
        c.fill();
      }
      const r = Math.max(5, size + 2.5);
      c.lineWidth = 1.5;
      for (const open of [false, true]) { // one path for all: a stroke is dear
        c.strokeStyle = open ? palette.open : palette.duel;
        c.beginPath();
        for (const duel of head.duels) {
          const row = (duel.verdict === null) === open ? run.row(duel.challenger) : -1;
          if (row < 0 || !seen(row)) continue;
          const [x, y] = this.at(row);
          c.moveTo(x + r, y);
          c.arc(x, y, r, 0, 6.2832);
        }
        c.stroke();
      }
      c.textAlign = "center";
      for (const promotion of head.promotions) {
        const row = run.row(promotion.variant);
        if (row < 0 || !seen(row)) continue;
        const [x, y] = this.at(row), r = 8;
        c.beginPath();
        c.moveTo(x, y - r); c.lineTo(x + r, y); c.lineTo(x, y + r); c.lineTo(x - r, y);
        c.closePath();
        c.fillStyle = promotion.undone ? palette.surface : palette.champion;
        c.fill();
        c.strokeStyle = promotion.undone ? palette.bad : palette.surface;
        c.lineWidth = 1.5;
        c.stroke();
        c.font = "600 10px system-ui, sans-serif";
        c.fillStyle = promotion.undone ? palette.bad : palette.onChampion;
        c.fillText(String(promotion.number), x, y + 3.5);
      }
      ring(run.row(head.leader), 10, palette.leader, 2);
      if (hovered >= 0) ring(hovered, 9, palette.text, 1.5);
      if (chosen >= 0) { ring(chosen, 11, palette.surface, 4); ring(chosen, 11, palette.chosen, 2.5); }
    }
  }

  /* What is said of a row in one line. */
  E.describe = function (run, row) {
    const score = run.rows.score[row];
    const words = [run.rows.id[row] || `attempt ${run.rows.trial[row]}`];
    words.push(score === null ? run.failure(row) || run.verdict(row) : F.number(score));
    if (run.rows.gain[row] !== null) words.push(`${F.signed(run.rows.gain[row])} over its parent`);
    words.push(row === 0 ? "the seed" : run.arm(row));
    return words.join(", ");
  };

  E.Lineage = function Lineage({ run, state, go, palette }) {
    const canvas = useRef(), picture = useRef(), tip = useRef(), search = useRef();
    const [words, setWords] = useState(state.q || "");
    const by = E.colourings.includes(state.by) ? state.by : "score";
    const mode = state.layout === "tree" ? "tree" : "score";
    const chosen = run.row(state.v || null);
    const layout = useMemo(() => (mode === "tree" ? E.layoutAsTree(run) : E.layoutByScore(run)), [run, run.version, mode]);
    const colouring = useMemo(() => {
      const made = E.colours(run, by, palette), groups = made.colours.map(() => []);
      for (let row = 0; row < run.size; row++) groups[made.number[row]].push(row);
      return { ...made, groups };
    }, [run, run.version, by, palette]);
    const matched = useMemo(() => run.matches(words), [run, run.version, words]);
    const choose = (row, centre) => {
      const id = row >= 0 ? run.rows.id[row] : null;
      go({ v: id || undefined }, true);
      if (centre && row >= 0 && picture.current) picture.current.centre(row);
    };

    useEffect(() => {
      const made = (picture.current = new Picture(canvas.current, {}));
      window.evolvePicture = made; // a benchmark asks it how long a frame took
      const observer = new ResizeObserver(() => made.resize());
      observer.observe(canvas.current.parentElement);
      made.resize();
      return () => { observer.disconnect(); cancelAnimationFrame(made.frame); };
    }, []);
    useEffect(() => picture.current.set({ run, layout, colouring, palette, matched, chosen }), [run, run.version, layout, colouring, palette, matched, chosen]);

    const pointers = useRef(new Map()), moved = useRef(0);
    const place = (event) => {
      const box = canvas.current.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    const show = (row, px, py) => {
      const box = tip.current, made = picture.current;
      if (made.hovered !== row) { made.hovered = row; made.ask(); }
      box.hidden = row < 0;
      canvas.current.style.cursor = row < 0 ? "grab" : "pointer";
      if (row < 0) return;
      box.textContent = "";
      const line = (text, name) => { const p = document.createElement("div"); p.className = name; p.textContent = text; box.append(p); };
      line(E.describe(run, row), "strong");
      if (run.rows.idea[row]) line(run.rows.idea[row], "");
      if (run.promoted.has(run.rows.id[row])) line(`promotion ${run.promoted.get(run.rows.id[row]).number}`, "note");
      else if (run.duelled.has(run.rows.id[row])) { const d = run.duelled.get(run.rows.id[row]); line(`duel ${d.number}: ${d.verdict || "open"}, ${d.n} pairs`, "note"); }
      box.style.left = Math.max(4, Math.min(made.width - 290, px + 14)) + "px";
      box.style.top = Math.min(made.height - 76, py + 14) + "px";
    };
    const down = (event) => {
      canvas.current.setPointerCapture(event.pointerId);
      pointers.current.set(event.pointerId, place(event));
      moved.current = 0;
    };
    const move = (event) => {
      const [x, y] = place(event), known = pointers.current.get(event.pointerId);
      if (!known) return show(picture.current.find(x, y), x, y);
      const others = [...pointers.current].filter(([id]) => id !== event.pointerId);
      if (others.length) {
        const [ox, oy] = others[0][1], before = Math.hypot(known[0] - ox, known[1] - oy), now = Math.hypot(x - ox, y - oy);
        if (before > 0) picture.current.zoom(now / before, (x + ox) / 2, (y + oy) / 2);
      } else picture.current.pan(x - known[0], y - known[1]);
      moved.current += Math.abs(x - known[0]) + Math.abs(y - known[1]);
      pointers.current.set(event.pointerId, [x, y]);
    };
    const up = (event) => {
      const [x, y] = place(event);
      if (pointers.current.delete(event.pointerId) && moved.current < 5) choose(picture.current.find(x, y, event.pointerType === "touch" ? 24 : 14));
    };
    useEffect(() => { // not passive, so that the page does not scroll away under it
      const wheel = (event) => {
        event.preventDefault();
        const [x, y] = place(event);
        picture.current.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
      };
      canvas.current.addEventListener("wheel", wheel, { passive: false });
      return () => canvas.current && canvas.current.removeEventListener("wheel", wheel);
    }, []);

    const key = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const made = picture.current, at = chosen >= 0 ? chosen : run.row(run.head.champion.id);
      const step = (way) => {
        let row = at;
        do row += way; while (row >= 0 && row < run.size && run.rows.id[row] === null);
        return row >= 0 && row < run.size ? row : at;
      };
      const actions = {
        ArrowLeft: () => choose(run.rows.parents[at].length ? run.rows.parents[at][0] : at, true),
        ArrowRight: () => {
          const below = run.children[at].filter((row) => run.rows.id[row] !== null);
          const onLine = below.find((row) => run.line.has(row));
          const best = below.reduce((a, b) => (a < 0 || run.sign * ((run.rows.score[b] === null ? -run.sign * Infinity : run.rows.score[b]) - (run.rows.score[a] === null ? -run.sign * Infinity : run.rows.score[a])) > 0 ? b : a), -1);
          choose(onLine !== undefined ? onLine : best >= 0 ? best : at, true);
        },
        ArrowUp: () => choose(step(-1), true), ArrowDown: () => choose(step(1), true),
        "+": () => made.zoom(1.4), "=": () => made.zoom(1.4), "-": () => made.zoom(1 / 1.4), 0: () => made.fit(),
        c: () => choose(run.row(run.head.champion.id), true), s: () => choose(0, true),
        h: () => made.pan(80, 0), l: () => made.pan(-80, 0), k: () => made.pan(0, 80), j: () => made.pan(0, -80),
        Enter: () => chosen >= 0 && go({ view: "variant" }), Escape: () => choose(-1),
      };
      const action = actions[event.key];
      if (action) { event.preventDefault(); action(); }
    };
    const nextMatch = (event) => {
      if (event.key === "Enter" && matched && matched.length) {
        const after = matched.find((row) => row > chosen && run.rows.id[row] !== null);
        choose(after === undefined ? matched.find((row) => run.rows.id[row] !== null) ?? -1 : after, true);
      }
      if (event.key === "Escape") { setWords(""); event.target.blur(); }
    };

    return html`<section class="lineage" aria-label="Lineage">
      <div class="tools">
        <label class="field grow"><span class="unseen">Search variants</span>
          <input type="search" ref=${search} placeholder="Search ids, ideas, operators, failures" value=${words} id="search"
            onInput=${(event) => setWords(event.target.value)} onKeyDown=${nextMatch} /></label>
        <label class="field">Colour <select id="colour" value=${by} onChange=${(event) => go({ by: event.target.value }, true)}>
          ${E.colourings.map((name) => html`<option value=${name} selected=${name === by}>${name}</option>`)}</select></label>
        <div class="switch" role="group" aria-label="Layout">
          <button type="button" aria-pressed=${mode === "score"} onClick=${() => go({ layout: undefined }, true)}>by score</button>
          <button type="button" aria-pressed=${mode === "tree"} onClick=${() => go({ layout: "tree" }, true)}>as a tree</button>
        </div>
        <div class="switch" role="group" aria-label="Zoom">
          <button type="button" aria-label="Zoom out" onClick=${() => picture.current.zoom(1 / 1.5)}>−</button>
          <button type="button" aria-label="Show all" onClick=${() => picture.current.fit()}>all</button>
          <button type="button" aria-label="Zoom in" onClick=${() => picture.current.zoom(1.5)}>+</button>
        </div>
        ${words && html`<span class="quiet" role="status">${matched ? F.plural(matched.length, "match", "matches") : ""}${matched && matched.length ? ", Enter goes to the next" : ""}</span>`}
      </div>
      <div class="split ${chosen >= 0 ? "open" : ""}">
        <div class="canvas">
          <canvas ref=${canvas} tabindex="0" role="application" id="lineage-canvas"
            aria-label="Tree of ${F.count(run.size)} attempts. Arrow keys go to parent, child, and the attempts before and after; plus, minus and zero zoom; c the champion, s the seed; Enter opens a variant."
            onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerLeave=${() => show(-1)} onPointerCancel=${(e) => pointers.current.delete(e.pointerId)}
            onDblClick=${(event) => picture.current.zoom(2, ...place(event))} onKeyDown=${key}></canvas>
          <div class="tip" ref=${tip} hidden></div>
          <p class="unseen" role="status">${chosen >= 0 ? E.describe(run, chosen) : ""}</p>
        </div>
        ${chosen >= 0 && html`<${E.Side} run=${run} row=${chosen} go=${go} choose=${choose} />`}
      </div>
          <div class="legend" role="group" aria-label="What the colours mean">
            ${colouring.legend.map((each) => each.ramp
              ? html`<span class="ramp" aria-hidden="true">${each.ramp.map((colour) => html`<i style=${{ background: colour }}></i>`)}</span>`
              : html`<span><i class="dot" style=${{ background: each.colour }}></i>${each.text}</span>`)}
            <span><i class="diamond"></i>promotion</span><span><i class="ringed"></i>duel</span><span><i class="stroke"></i>champion's line</span>
            ${run.head.leader && html`<span><i class="ringed leads"></i>leader, not proven</span>`}
          </div>
      ${mode === "score" ? html`<p class="caption">Attempts from left to right, ${run.sign < 0 ? "smaller" : "greater"} scores above; what scored worse than the axis shows, or not at all, lies at its lower edge. Scores are means of ${F.plural(run.head.search_cases, "search case")}: they carry noise, and proof comes from duels alone.</p>`
        : html`<p class="caption">Generations from left to right, families together.</p>`}
    </section>`;
  };

  E.Side = function Side({ run, row, go, choose }) {
    const rows = run.rows, id = rows.id[row], promotion = run.promoted.get(id), duel = run.duelled.get(id);
    const path = run.lineage(row), best = run.children[row].filter((r) => rows.score[r] !== null).sort((a, b) => run.sign * (rows.score[b] - rows.score[a])).slice(0, 5);
    const link = (other) => html`<button type="button" class="link mono" onClick=${() => choose(other, true)}>${rows.id[other]}</button>`;
    return html`<aside class="side" aria-label="Chosen variant">
      <header><h2 class="mono">${id}</h2><button type="button" class="close" aria-label="Close" onClick=${() => choose(-1)}>×</button></header>
      <p class="badges"><${E.Badges} run=${run} row=${row} /></p>
      ${rows.idea[row] && html`<p class="idea">${rows.idea[row]}</p>`}
      <dl class="facts">
        <dt>score</dt><dd>${rows.score[row] === null ? html`<span class="bad">${run.failure(row) || run.verdict(row)}</span>` : html`<b>${F.number(rows.score[row])}</b> <span class="quiet">n = ${run.head.search_cases}</span>`}</dd>
        ${rows.gain[row] !== null && html`<dt>over parent</dt><dd class=${rows.gain[row] > 0 ? "good" : "quiet"}>${F.signed(rows.gain[row])}</dd>`}
        <dt>made by</dt><dd>${row === 0 ? "you: the seed" : `${run.arm(row)}, attempt ${rows.trial[row]}`}</dd>
        ${rows.parents[row].length > 0 && html`<dt>from</dt><dd>${rows.parents[row].map((p, n) => html`${n ? ", " : ""}${link(p)}`)}</dd>`}
        ${best.length > 0 && html`<dt>children</dt><dd>${F.count(run.children[row].length)}: ${best.map((c, n) => html`${n ? ", " : ""}${link(c)}`)}</dd>`}
        ${rows.usd[row] > 0 && html`<dt>cost</dt><dd>${F.dollars(rows.usd[row])}</dd>`}
        ${promotion && html`<dt>promotion</dt><dd>${promotion.number}${promotion.undone ? ", undone" : ""}${promotion.gain !== null && promotion.gain !== undefined ? html`: <b>${F.gain(run.head, promotion.gain, promotion.gain_interval)}</b> <span class="quiet">n = ${promotion.checks} check pairs</span>` : ""}</dd>`}
        ${duel && html`<dt>duel ${duel.number}</dt><dd>${duel.verdict || "open"}, ${F.plural(duel.n, "pair")}, e-value ${F.odds(duel.log_e)} of ${F.count(1 / duel.level)}</dd>`}
        <dt>depth</dt><dd>${F.plural(path.length - 1, "edit")} from the seed</dd>
      </dl>
      <button type="button" class="main" onClick=${() => go({ view: "variant", v: id })}>Open: program, diff, cases</button>
    </aside>`;
  };

  E.Badges = function Badges({ run, row }) {
    const id = run.rows.id[row], head = run.head, promotion = run.promoted.get(id);
    return html`${id === head.champion.id && html`<span class="badge champion">champion</span>`}
      ${id === head.seed && html`<span class="badge">seed</span>`}
      ${id === head.leader && html`<span class="badge leads">leader, not proven</span>`}
      ${promotion && html`<span class="badge ${promotion.undone ? "undone" : ""}">promotion ${promotion.number}${promotion.undone ? ", undone" : ""}${promotion.simpler ? ", simpler" : ""}</span>`}
      ${run.rows.verdict[row] !== "e" && html`<span class="badge undone">${run.failure(row) || run.verdict(row)}</span>`}`;
  };
})(evolve);
