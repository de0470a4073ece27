"use strict";
/* A run as the page knows it: the head, and a column for each property of an attempt. No DOM here. */
var evolve = {};

(function (E) {
  const VERDICTS = { e: "evaluated", f: "failed", d: "duplicate", r: "refused", n: "no child" };

  // ------------------------------------------------------------------------------------ how things read
  const F = (E.format = {});
  F.number = (value) => (value === null || value === undefined ? "–" : trim(Number(value).toPrecision(6)));
  F.signed = (value) => {
    if (value === null || value === undefined) return "–";
    if (Math.abs(value) < 1e-12) return "±0";
    return (value > 0 ? "+" : "−") + trim(Math.abs(value).toPrecision(3));
  };
  F.minus = (text) => text.replace("-", "−");
  F.interval = (value, interval, sign) => {
    if (!interval) return sign ? F.signed(value) : F.number(value);
    const [low, high] = interval, width = high - low;
    const digits = !(width > 0) || !isFinite(width) ? 6 : Math.min(9, Math.max(0, 2 - Math.floor(Math.log10(width))));
    const show = (x) => F.minus((sign && x > 0 ? "+" : "") + x.toFixed(digits));
    return `${show(value)} [${show(low)}, ${show(high)}]`;
  };
  F.gain = (head, value, interval) => // logarithms of ratios are shown as factors
    head.ratio && value !== null && value !== undefined
      ? "×" + F.interval(Math.exp(value), interval && interval.map(Math.exp))
      : F.interval(value, interval, true);
  F.duration = (seconds) => {
    if (seconds < 60) return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
    const minutes = Math.floor(Math.round(seconds) / 60), rest = Math.round(seconds) % 60;
    return minutes < 60 ? `${minutes} min ${String(rest).padStart(2, "0")} s`
      : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  };
  F.dollars = (usd) => (usd >= 0.1 || usd === 0 ? `$${usd.toFixed(2)}` : `$${trim(usd.toPrecision(2))}`);
  F.count = (n) => Math.round(n).toLocaleString("en");
  F.percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
  F.odds = (logE) => {
    if (logE === null || logE === undefined) return "–";
    if (logE >= Math.log(1e6)) return `10^${Math.floor(logE / Math.LN10)}`;
    const value = Math.exp(logE);
    return value >= 100 ? F.count(value) : trim(value.toPrecision(2));
  };
  F.plural = (n, word, more) => `${F.count(n)} ${n === 1 ? word : more || word + "s"}`;
  F.size = (bytes) => (bytes < 1000 ? `${bytes} bytes` : bytes < 1e6 ? `${(bytes / 1000).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`);

  function trim(text) {
    if (text.includes("e")) return F.minus(String(Number(text)));
    return F.minus(text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  }

  // ------------------------------------------------------------------------------------------ one run
  E.Run = class Run {
    constructor(key, head, columns) {
      this.key = key;
      this.rows = { trial: [], id: [], parents: [], operator: [], model: [], verdict: [], failure: [],
        score: [], gain: [], seconds: [], usd: [], idea: [], island: [] };
      this.children = [];
      this.rowOf = new Map();
      this.paid = []; // dollars so far, after each row
      this.version = 0;
      this.update(head, columns);
    }

    update(head, columns) {
      const first = this.rows.id.length;
      for (const name in this.rows) for (const value of columns[name] || []) this.rows[name].push(value);
      for (let row = first; row < this.rows.id.length; row++) {
        this.children.push([]);
        this.paid.push((row ? this.paid[row - 1] : 0) + this.rows.usd[row]);
        if (this.rows.id[row] !== null) this.rowOf.set(this.rows.id[row], row);
        for (const parent of this.rows.parents[row]) this.children[parent].push(row);
      }
      this.head = head;
      this.sign = head.direction === "minimise" ? -1 : 1;
      this.line = new Set(this.lineage(this.row(head.champion && head.champion.id)));
      this.promoted = new Map((head.promotions || []).map((p) => [p.variant, p]));
      this.duelled = new Map((head.duels || []).map((d) => [d.challenger, d]));
      this.version += 1;
      return this;
    }

    get size() { return this.rows.id.length; }
    row(id) { return id !== null && this.rowOf.has(id) ? this.rowOf.get(id) : -1; }
    verdict(row) { return VERDICTS[this.rows.verdict[row]]; }
    operator(row) { return this.head.names.operators[this.rows.operator[row]]; }
    model(row) { return this.rows.model[row] < 0 ? null : this.head.names.models[this.rows.model[row]]; }
    failure(row) { return this.rows.failure[row] < 0 ? null : this.head.names.failures[this.rows.failure[row]]; }
    island(row) { return this.rows.island[row] < 0 ? null : this.head.names.islands[this.rows.island[row]]; }
    arm(row) { return this.model(row) ? `${this.operator(row)} @ ${this.model(row)}` : this.operator(row); }

    /* Rows of a variant and its first parents, the seed first. */
    lineage(row) {
      const found = [];
      for (let guard = 0; row >= 0 && guard <= this.size; guard++) {
        found.push(row);
        row = this.rows.parents[row].length ? this.rows.parents[row][0] : -1;
      }
      return found.reverse();
    }

    /* By how much each edit of a line raised the best score on it so far; an edit of a bad parent may raise nothing. */
    advances(path) {
      let best = null;
      return path.map((row) => {
        const score = this.rows.score[row], before = best;
        if (score === null) return 0;
        if (best === null || this.sign * (score - best) > 0) best = score;
        return before === null ? 0 : this.sign * (best - before);
      });
    }

    /* All that a row comes from. */
    ancestors(row) {
      const found = new Set(), open = [row];
      while (open.length) for (const p of this.rows.parents[open.pop()]) if (!found.has(p)) found.add(p), open.push(p);
      return found;
    }

    descendants(row, most = 50000) {
      const found = new Set(), open = [row];
      while (open.length && found.size < most)
        for (const c of this.children[open.pop()]) if (!found.has(c)) found.add(c), open.push(c);
      return found;
    }

    /* Values on an axis, one a row. */
    axis(name) {
      if (name === "seconds") return this.rows.seconds;
      if (name === "usd") return this.paid;
      return this.rows.trial.map((_, row) => row);
    }

    /* The best score seen so far after each row: flattering, as it is a maximum of noisy values. */
    bestSeen() {
      let best = null;
      return this.rows.score.map((score) => {
        if (score !== null && (best === null || this.sign * (score - best) > 0)) best = score;
        return best;
      });
    }

    /* Champions as steps: where each came, its score on fresh draws with a 95 % interval, and how many. */
    champions() {
      const head = this.head, steps = [];
      const sealed = head.sealed && head.sealed.current ? head.sealed : null;
      const exact = head.claim === "artifact", first = (head.promotions || []).find((p) => p.before === head.seed && p.before_confirmed !== undefined);
      if (sealed && sealed.seed_confirmed !== null) steps.push({ id: head.seed, at: { trials: 0, seconds: this.rows.seconds[0], usd: 0 }, undone: false,
        score: sealed.seed_confirmed, interval: sealed.seed_interval, n: sealed.count, what: "sealed draws" });
      else steps.push({ id: head.seed, at: { trials: 0, seconds: this.rows.seconds[0], usd: 0 }, undone: false,
        score: exact ? head.seed_score : first ? first.before_confirmed : head.seed_score,
        interval: exact ? null : first ? first.before_interval : null,
        n: exact ? 0 : first ? first.checks : head.search_cases, what: exact ? "exact" : first ? "check pairs" : "search cases" });
      for (const p of head.promotions || []) {
        if (p.undone) continue;
        const fresh = p.confirmed !== null && p.confirmed !== undefined;
        if (sealed && p.variant === sealed.champion) steps.push({ id: p.variant, at: p.at, promotion: p, interval: sealed.interval, score: sealed.confirmed, n: sealed.count, what: "sealed draws" });
        else steps.push({ id: p.variant, at: p.at, promotion: p, interval: fresh ? p.interval : null,
          score: fresh ? p.confirmed : this.rows.score[this.row(p.variant)],
          n: fresh ? p.checks : exact ? 0 : head.search_cases, what: fresh ? "check pairs" : exact ? "exact" : "search cases" });
      }
      return steps;
    }

    matches(words) {
      const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
      if (!wanted.length) return null;
      const found = [];
      for (let row = 0; row < this.size; row++) {
        const text = [this.rows.id[row], this.rows.idea[row], this.operator(row), this.model(row), this.failure(row), this.verdict(row)].join(" ").toLowerCase();
        if (wanted.every((word) => text.includes(word))) found.push(row);
      }
      return found;
    }
  };

  // -------------------------------------------------------------------------------------------- layouts
  /* Attempts from left to right, scores from worse to better; outliers and failures at the lower edge. */
  E.layoutByScore = function (run) {
    const n = run.size, x = new Float32Array(n), y = new Float32Array(n);
    const scores = run.rows.score.filter((s) => s !== null).map((s) => run.sign * s).sort((a, b) => a - b);
    const best = scores[scores.length - 1] || 0;
    const seed = run.sign * (run.rows.score[0] || 0);
    // as far below the seed as the best is above it, where that much was seen
    const gained = best - seed, middle = scores[Math.floor(scores.length * 0.5)] || 0;
    let low = gained > 0 ? seed - 0.8 * gained : Math.min(middle, seed);
    low = Math.max(scores[0] === undefined ? 0 : scores[0], low);
    if (best - low < 1e-9) low = best - Math.max(1e-9, Math.abs(best) * 1e-3);
    for (let row = 0; row < n; row++) {
      x[row] = n > 1 ? 0.015 + (0.97 * row) / (n - 1) : 0.5;
      const score = run.rows.score[row];
      if (score === null) y[row] = 0.985;
      else y[row] = 0.03 + 0.9 * (1 - Math.max(0, Math.min(1, (run.sign * score - low) / (best - low))));
    }
    return { x, y, low: run.sign * low, best: run.sign * best, name: "score" };
  };

  /* Generations from left to right, families together: each leaf has a line of its own. */
  E.layoutAsTree = function (run) {
    const n = run.size, x = new Float32Array(n), y = new Float32Array(n), depth = new Uint32Array(n);
    const kids = Array.from({ length: n }, () => []), roots = [];
    let deepest = 1;
    for (let row = 0; row < n; row++) {
      const parents = run.rows.parents[row];
      if (parents.length) {
        kids[parents[0]].push(row);
        depth[row] = depth[parents[0]] + 1;
        deepest = Math.max(deepest, depth[row]);
      } else roots.push(row);
    }
    let leaf = 0;
    const middle = new Float64Array(n), open = roots.reverse().map((row) => [row, 0]);
    while (open.length) {
      const top = open[open.length - 1], row = top[0];
      if (top[1] < kids[row].length) open.push([kids[row][top[1]++], 0]);
      else {
        middle[row] = kids[row].length ? (middle[kids[row][0]] + middle[kids[row][kids[row].length - 1]]) / 2 : leaf++;
        open.pop();
      }
    }
    for (let row = 0; row < n; row++) {
      x[row] = 0.02 + (0.96 * depth[row]) / deepest;
      y[row] = 0.03 + (0.94 * (middle[row] + 0.5)) / Math.max(1, leaf);
    }
    return { x, y, name: "tree", deepest };
  };

  // --------------------------------------------------------------------------------- code, escaped always
  const LANGUAGES = { py: "python", js: "javascript", ts: "typescript", c: "c", h: "c", cpp: "cpp", cc: "cpp", hpp: "cpp",
    rs: "rust", go: "go", java: "java", md: "markdown", json: "json", sh: "bash", rb: "ruby", toml: "ini" };
  /* HTML of a program, a string a line; highlight.js escapes what it is given. */
  E.codeLines = function (text, path) {
    const language = LANGUAGES[path.split(".").pop()];
    let html;
    if (text.length < 100000 && language && window.hljs && hljs.getLanguage(language))
      html = hljs.highlight(text, { language, ignoreIllegals: true }).value;
    else html = E.escape(text);
    const open = [], lines = [];
    for (const raw of html.split("\n")) {
      let line = open.join("") + raw;
      for (const tag of raw.match(/<span[^>]*>|<\/span>/g) || []) tag === "</span>" ? open.pop() : open.push(tag);
      lines.push(line + "</span>".repeat(open.length));
    }
    if (lines[lines.length - 1] === "") lines.pop();
    return lines;
  };
  E.escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;").replace(/'/g, "&#39;");

  /* Two programs as rows: {kind: " " | "+" | "-" | "…", text, old, now}, with three lines around each change. */
  E.diffFiles = function (before, after) {
    const files = [];
    for (const path of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
      const a = before[path] === undefined ? "" : before[path], b = after[path] === undefined ? "" : after[path];
      if (a === b) continue;
      const patch = Diff.structuredPatch(path, path, a, b, "", "", { context: 3, maxEditLength: 4000, timeout: 1500 });
      const rows = [];
      let added = 0, removed = 0;
      if (!patch) rows.push({ kind: "…", text: "too different to compare line by line" });
      for (const hunk of patch ? patch.hunks : []) {
        let old = hunk.oldStart, now = hunk.newStart;
        rows.push({ kind: "…", text: `line ${now}` });
        for (const line of hunk.lines) {
          const kind = line[0];
          if (kind === "\\") continue;
          rows.push({ kind, text: line.slice(1), old: kind === "+" ? "" : old++, now: kind === "-" ? "" : now++ });
          added += kind === "+";
          removed += kind === "-";
        }
      }
      files.push({ path, rows, added, removed });
    }
    return files;
  };
})(evolve);
