"use strict";
/* The views of a run but the lineage. */
(function (E) {
  const { html, useEffect, useState, useMemo } = htmPreact, F = E.format;

  /* Asks the source for something, once for each key; null while it is on its way. */
  E.useAsked = function (source, key, ask) {
    const [found, setFound] = useState({ key: null, value: null });
    useEffect(() => {
      let wanted = true;
      ask().then((value) => wanted && setFound({ key, value }), (error) => wanted && setFound({ key, value: { error: String(error.message || error) } }));
      return () => { wanted = false; };
    }, [source, key]);
    return found.key === key ? found.value : null;
  };

  const Variant = ({ run, id, go }) => html`<a class="mono" href=${E.href({ run: run.key, view: "variant", v: id })}>${id}</a>`;
  const Empty = ({ children }) => html`<p class="empty">${children}</p>`;
  E.Waiting = ({ what }) => html`<p class="empty" role="status">Loading ${what} …</p>`;
  E.Trouble = ({ text }) => html`<p class="trouble" role="alert">${text}</p>`;

  // ----------------------------------------------------------------------------------------- overview
  const Card = ({ title, children, kind }) => html`<section class="card ${kind || ""}"><h2>${title}</h2>${children}</section>`;

  function gainWords(head) {
    const champion = head.champion, unit = head.unit ? ` ${head.unit}` : "";
    if (champion.id === head.seed) return null;
    if (champion.gain === null) return null;
    const share = !head.ratio && head.seed_score ? champion.gain / Math.abs(head.seed_score) : null;
    return { text: F.gain(head, champion.gain, champion.gain_interval) + unit, share };
  }

  E.Overview = function Overview({ run, source, go, palette, state }) {
    const head = run.head, champion = head.champion, proven = champion.id !== head.seed, gain = gainWords(head), sealed = head.sealed;
    const path = [...run.line], advances = run.advances(path), most = advances.indexOf(Math.max(...advances)), key = path[most];
    const failed = head.failures.reduce((sum, each) => sum + each.count, 0), worst = head.failures[0];
    const last = head.promotions.filter((p) => !p.undone).at(-1);
    return html`<div class="cards">
      <${Card} title="What is better than the seed?" kind="wide">
        ${proven ? html`<p class="figure good">${gain ? gain.text : last && last.gain !== null && last.gain !== undefined ? F.gain(head, last.gain, last.gain_interval) : "proven"}${gain && gain.share !== null ? html` <small>${F.minus((gain.share > 0 ? "+" : "") + (100 * gain.share).toFixed(1))} %</small>` : ""}</p>
          <p><${Variant} run=${run} id=${champion.id} go=${go} /> ${gain ? "over the seed" : "over the champion before it, on check pairs"}${sealed && sealed.current ? html`, on ${F.count(sealed.count)} sealed draws${sealed.seen ? ", which had been seen before" : ""}` : ""}.
          ${champion.confirmed !== null ? html` Its score: <b>${F.interval(champion.confirmed, champion.interval)}</b> ${head.unit}${head.claim === "artifact" ? ", exactly" : `, n = ${F.count(sealed ? sealed.count : 0)}`}; the seed ${F.number(head.seed_score)} on ${F.plural(head.search_cases, "search case")}.`
            : html` Sealed draws are opened when a budget is spent; until then its search score is ${F.number(champion.score)}, n = ${head.search_cases}, the seed's ${F.number(head.seed_score)}.`}</p>`
          : html`<p class="figure note">No significant improvement ${head.live ? "yet" : ""}</p><p>${head.says.smallest ? `The smallest gain that a duel of ${F.count(head.n_max)} pairs could have proven here is about ${head.says.smallest}${head.unit && !/[a-z]$/.test(head.says.smallest) ? " " + head.unit : ""}.` : ""}
            ${head.leader && html` The best guess, not proven: <${Variant} run=${run} id=${head.leader} go=${go} />, ${F.number(run.rows.score[run.row(head.leader)])} on the search cases.`}</p>`}
      <//>
      <${Card} title="Which edit mattered most?" kind="wide">
        ${advances[most] > 0 ? html`<p class="figure good">${F.signed(advances[most])} <small>over the best before it on the champion's line, n = ${head.search_cases} search cases</small></p><p><${Variant} run=${run} id=${run.rows.id[key]} go=${go} /> ${run.arm(key)}${run.rows.idea[key] ? html`: <q>${run.rows.idea[key]}</q>` : ""} <a href=${E.href({ run: run.key, view: "story" })}>The whole story, ${F.plural(run.line.size - 1, "edit")}</a></p>`
          : html`<p class="figure quiet">none so far</p><p>The champion is the seed itself.</p>`}
      <//>
      <${Card} title="What did it cost?">
        <p class="figure">${head.usd > 0 ? F.dollars(head.usd) : F.duration(head.seconds)}</p>
        <p>${F.plural(head.trials, "attempt")}, ${F.plural(head.evaluations, "evaluation")} in ${F.duration(head.seconds)}${head.calls ? `; ${F.plural(head.calls, "call")} of models, ${F.count(head.tokens)} tokens` : head.usd > 0 ? "" : "; no model was asked"}${head.seconds > 0 ? `; ${F.number(Number((head.evaluations / head.seconds).toPrecision(3)))} evaluations/s` : ""}.</p>
      <//>
      <${Card} title="What fails most, and why?">
        ${worst ? html`<p class="figure">${worst.kind.replace(/_/g, " ")} <small>${F.percent(worst.count / Math.max(1, head.trials))} of attempts</small></p><p>${F.plural(failed, "attempt")} of ${F.count(head.trials)} ended without a score.${worst.details.length ? html` Most often: <q>${worst.details[0][0]}</q>` : worst.kind === "duplicate" ? " The child had been tried before." : ""}</p>` : html`<p class="figure good">nothing</p><p>Every attempt so far has a score.</p>`}
      <//>
      <${Card} title="Can I have the champion's code?">
        <p class="figure mono">${champion.id}</p>
        <p><button type="button" class="main" onClick=${() => E.saveProgram(source, run, champion.id)}>Download</button> <a href=${E.href({ run: run.key, view: "variant", v: champion.id })}>look at it</a></p><p class="quiet mono small">evolve champion ${head.name}</p>
      <//>
    </div>
    <${E.Progress} run=${run} palette=${palette} state=${state} go=${go} />
    <section class="panel"><h2>What is claimed, and what is not</h2>
      <dl class="facts wide"><dt>claim</dt><dd>${head.says.claim}${head.says.because ? html` <span class="quiet">(${head.says.because})</span>` : ""}</dd>
      <dt>guarantee</dt><dd>${head.says.guarantee}</dd><dt>promotions</dt><dd>${head.promotions.filter((p) => !p.undone).length}${head.promotions.some((p) => p.undone) ? `, ${head.promotions.filter((p) => p.undone).length} more undone by their check pairs` : ""}, from ${F.plural(head.duels.length, "duel")}</dd>
      <dt>sandbox</dt><dd>${head.sandbox === "none" ? html`<span class="note">none: programs could do whatever you may</span>` : head.sandbox}</dd>
      <dt>run</dt><dd class="mono">${head.run}</dd></dl>
      ${head.lessons.length > 0 && html`<h3>What models learned <span class="quiet">in their words, for later prompts; nothing of it is proven</span></h3><ul class="plain">${head.lessons.map((l) => html`<li><b>${l.number}</b> <q>${l.text}</q>${l.dropped !== null ? html` <span class="quiet">dropped: ${l.dropped}</span>` : ""}</li>`)}</ul>`}
      ${head.controls.length > 0 && html`<h3>What people did</h3><ul class="plain">${head.controls.map((c) => html`<li><b>${c.action}</b> ${c.variant ? html`<${Variant} run=${run} id=${c.variant} go=${go} /> ` : ""}${c.text || ""}${c.limits ? Object.entries(c.limits).map(([k, v]) => `${k} ${v}`).join(", ") : ""} <span class="quiet">after ${F.plural(c.at.trials, "attempt")}</span></li>`)}</ul>`}
    </section>
    <${Promotions} run=${run} go=${go} />`;
  };

  function Promotions({ run, go }) {
    const head = run.head;
    if (!head.promotions.length) return null;
    return html`<section class="panel"><h2>Promotions</h2><div class="scroll" tabindex="0" role="region" aria-label="Promotions"><table>
      <thead><tr><th class="r">no.</th><th>variant</th><th>in place of</th><th class="r">after</th><th class="r">pairs</th><th class="r">e-value</th><th class="r">gain on check pairs, 95 %</th></tr></thead>
      <tbody>${head.promotions.map((p) => {
        const duel = head.duels.find((d) => d.number === p.duel);
        return html`<tr class=${p.undone ? "undone" : ""}><td class="r">${p.number}</td><td><${Variant} run=${run} id=${p.variant} go=${go} />${p.undone ? " undone" : ""}${p.simpler ? " simpler" : ""}</td><td><${Variant} run=${run} id=${p.before} go=${go} /></td><td class="r">${F.duration(p.at.seconds)}</td>
          <td class="r">${duel ? F.count(duel.n) : "exact"}</td><td class="r">${duel ? F.odds(duel.log_e) : "–"}</td><td class="r">${p.gain === null || p.gain === undefined ? "–" : html`${F.gain(head, p.gain, p.gain_interval)} <span class="quiet">n = ${p.checks}</span>`}</td></tr>`;
      })}</tbody></table></div></section>`;
  }

  // ----------------------------------------------------------------------------------------- progress
  /* At most `most` points of a step line; where it changes is kept. */
  function thin(points, most = 1500) {
    const kept = points.filter((p, n) => n === 0 || n === points.length - 1 || p[1] !== points[n - 1][1]);
    if (kept.length <= most) return kept;
    const step = Math.ceil(kept.length / most);
    return kept.filter((_, n) => n % step === 0 || n === kept.length - 1);
  }

  E.progressLines = function (run, x, palette) {
    const at = run.axis(x), seen = run.bestSeen(), end = at[at.length - 1];
    const champions = run.champions().map((step) => [x === "trials" ? step.at.trials : step.at[x], step.score, step.interval ? step.interval[0] : step.score, step.interval ? step.interval[1] : step.score, step]);
    const last = champions.at(-1), held = [...champions, [Math.max(end, last[0]), ...last.slice(1)]];
    return { seen: thin(seen.map((value, row) => [at[row], value])), proven: held, champions };
  };

  E.Progress = function Progress({ run, palette, state, go }) {
    const head = run.head, axes = ["trials", "seconds", ...(head.usd > 0 ? ["usd"] : [])], x = axes.includes(state.x) ? state.x : "trials";
    const { lines, marks, low, high, champions } = useMemo(() => {
      const { seen, proven, champions } = E.progressLines(run, x, palette);
      const lines = [
        { label: `best seen: a maximum of search scores, flattering (n = ${head.search_cases})`, colour: palette.seen, width: 1.5, dash: [4, 3], points: seen, stepped: true },
        { label: head.claim === "artifact" ? "champion, exactly" : "champion on fresh draws, 95 % interval", colour: palette.champion, width: 2.5, points: proven, stepped: true, band: palette.band },
      ];
      const marks = champions.slice(1).map(([px, y, lo, hi]) => ({ x: px, y, low: lo, high: hi, colour: palette.champion }));
      const values = [...seen.map((p) => p[1]), ...proven.flatMap((p) => [p[1], p[2], p[3]])].filter((v) => v !== null && isFinite(v));
      return { lines, marks, low: Math.min(...values), high: Math.max(...values), champions };
    }, [run, run.version, x, palette]);
    const most = Math.max(1, ...head.arms.map((a) => a.trials)), advance = head.arms.reduce((sum, a) => sum + a.advance, 0) || 1, failed = head.failures.reduce((sum, f) => sum + f.count, 0);
    const arms = [...head.arms].sort((a, b) => b.trials - a.trials);
    return html`<section class="panel"><header class="row"><h2>Progress</h2>
        <div class="switch" role="group" aria-label="Axis">${axes.map((name) => html`<button type="button" aria-pressed=${name === x} onClick=${() => go({ x: name }, true)}>${E.AXES[name]}</button>`)}</div></header>
      <${E.Chart} lines=${lines} x=${x} palette=${palette} marks=${marks} low=${low} high=${high} yLabel=${`${head.unit || "score"}, ${run.sign < 0 ? "less" : "more"} is better`}
        label="Best seen and proven scores against ${E.AXES[x]}: best seen ${F.number(lines[0].points.at(-1)[1])}, champion ${F.number(champions.at(-1)[1])}" />
      <details><summary>The same in numbers</summary><div class="scroll" tabindex="0" role="region" aria-label="Champions in numbers"><table><thead><tr><th>champion</th><th class="r">attempts</th><th class="r">seconds</th>${head.usd > 0 && html`<th class="r">dollars</th>`}<th class="r">score, 95 %</th><th>on</th></tr></thead>
        <tbody>${champions.map(([, , , , s]) => html`<tr><td class="mono">${s.id}</td><td class="r">${F.count(s.at.trials)}</td><td class="r">${F.number(Number(s.at.seconds.toFixed(1)))}</td>${head.usd > 0 && html`<td class="r">${F.dollars(s.at.usd)}</td>`}<td class="r">${F.interval(s.score, s.interval)}</td><td>${s.what === "exact" ? "the answer itself" : `${s.n} ${s.what}`}</td></tr>`)}</tbody></table></div></details>
    </section>
    <div class="columns">
      <section class="panel"><h2>Who makes children</h2>${arms.length === 0 ? html`<${Empty}>Nobody was asked yet.<//>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Operators and models"><table>
        <thead><tr><th>operator</th><th>attempts</th><th class="r">share</th><th class="r" title="children that scored more than their best parent, on the search cases">better</th><th class="r" title="largest gain of a child over its best parent, on the search cases">best gain</th><th class="r" title="share of what moved the best search score">of progress</th><th class="r">promoted</th>${head.usd > 0 && html`<th class="r">cost</th>`}</tr></thead>
        <tbody>${arms.map((a) => html`<tr><td>${a.operator}${a.model ? html`<span class="quiet"> @ ${a.model}</span>` : ""}</td><td><${E.Bar} share=${a.trials / most} /> ${F.count(a.trials)}</td><td class="r">${F.percent(a.trials / Math.max(1, head.trials))}</td><td class="r">${F.percent(a.better / Math.max(1, a.trials))}</td><td class="r">${a.best_gain > 0 ? F.signed(a.best_gain) : "–"}</td><td class="r">${F.percent(a.advance / advance)}</td><td class="r">${a.promotions}</td>${head.usd > 0 && html`<td class="r">${F.dollars(a.usd)}</td>`}</tr>`)}</tbody></table></div>`}
      </section>
      <section class="panel"><h2>Attempts without a score</h2>${failed === 0 ? html`<${Empty}>None so far.<//>` : html`<ul class="reasons">${head.failures.map((f) => html`<li><div class="row"><b>${f.kind.replace(/_/g, " ")}</b><span>${F.count(f.count)} <span class="quiet">${F.percent(f.count / Math.max(1, head.trials))}</span></span></div><${E.Bar} share=${f.count / head.failures[0].count} kind="bad" />
          ${f.details.map(([text, count]) => html`<p class="quiet small"><span class="mono">${text}</span>${f.details.length > 1 || count < f.count ? ` ×${F.count(count)}` : ""}</p>`)}${f.variant && html`<p class="small">for example <a class="mono" href=${E.href({ run: run.key, view: "variant", v: f.variant })}>${f.variant}</a></p>`}</li>`)}</ul>`}
        ${Object.keys(head.faults).length > 0 && html`<h3>Replies of models that could not be used</h3><p>${Object.entries(head.faults).map(([stage, count]) => `${count} at ${stage}`).join(", ")}</p>`}
        ${Object.keys(head.lost).length > 0 && html`<h3>Models that do not answer</h3><ul class="plain">${Object.entries(head.lost).map(([model, why]) => html`<li><b>${model}</b>: ${why}</li>`)}</ul>`}
      </section>
    </div>`;
  };

  // ------------------------------------------------------------------------------------------ variant
  E.Code = function Code({ text, path, wrap }) {
    const lines = useMemo(() => E.codeLines(text, path), [text, path]);
    const shown = lines.slice(0, 4000);
    return html`<div class="code ${wrap ? "wrap" : ""}" tabindex="0" role="region" aria-label=${path}><table role="presentation"><tbody>${shown.map((line, n) => html`<tr><td class="no" data-no=${n + 1}></td><td class="text" dangerouslySetInnerHTML=${{ __html: line || " " }}></td></tr>`)}</tbody></table>
      ${lines.length > shown.length && html`<p class="quiet">… and ${F.count(lines.length - shown.length)} more lines</p>`}</div>`;
  };

  E.Diff = function DiffView({ before, after, palette }) {
    const files = useMemo(() => E.diffFiles(before, after), [before, after]);
    if (!files.length) return html`<${Empty}>The programs are the same.<//>`;
    return files.map((file) => html`<div class="code diff" tabindex="0" role="region" aria-label="Changes in ${file.path}"><p class="file mono">${file.path} <span class="good">+${file.added}</span> <span class="bad">−${file.removed}</span></p>
      <table role="presentation"><tbody>${file.rows.slice(0, 3000).map((row) => (row.kind === "…" ? html`<tr class="hunk"><td class="no"></td><td class="no"></td><td class="text">${row.text}</td></tr>`
        : html`<tr class=${row.kind === "+" ? "plus" : row.kind === "-" ? "minus" : ""}><td class="no" data-no=${row.old}></td><td class="no" data-no=${row.now}></td><td class="text"><span class="sign" aria-hidden="true">${row.kind === " " ? " " : row.kind === "-" ? "−" : "+"}</span><span dangerouslySetInnerHTML=${{ __html: E.codeLines(row.text, file.path)[0] || "" }}></span></td></tr>`))}</tbody></table></div>`);
  };

  E.VariantView = function VariantView({ run, source, state, go, palette }) {
    const id = state.v && run.row(state.v) >= 0 ? state.v : run.head.champion.id, row = run.row(id), rows = run.rows, head = run.head;
    const found = E.useAsked(source, `${run.key}/${id}`, () => source.variant(run.key, id));
    const against = ["parent", "seed", "champion"].includes(state.diff) ? state.diff : "parent";
    const parent = rows.parents[row].length ? rows.id[rows.parents[row][0]] : null;
    const other = { parent, seed: head.seed, champion: head.champion.id }[against];
    const beside = E.useAsked(source, `${run.key}/${other || ""}/of`, () => (other ? source.variant(run.key, other) : Promise.resolve(null)));
    const children = run.children[row];
    return html`<article class="variant">
      <header class="row"><div><h2 class="mono">${id}</h2><p class="badges"><${E.Badges} run=${run} row=${row} /></p></div>
        <div class="row"><button type="button" onClick=${() => E.saveProgram(source, run, id)}>Download</button><a class="button" href=${E.href({ run: run.key, view: "lineage", v: id })}>In the lineage</a></div></header>
      ${rows.idea[row] && html`<p class="idea">${found && !found.error && found.idea ? found.idea : rows.idea[row]}</p>`}
      <dl class="facts wide">
        <dt>score</dt><dd>${rows.score[row] === null ? html`<span class="bad">${run.failure(row) || run.verdict(row)}</span>` : html`<b>${F.number(rows.score[row])}</b> ${head.unit} <span class="quiet">mean of n = ${head.search_cases} search cases</span>`}</dd>
        ${rows.gain[row] !== null && html`<dt>over its best parent</dt><dd class=${rows.gain[row] > 0 ? "good" : "quiet"}>${F.signed(rows.gain[row])} <span class="quiet">on the same n = ${head.search_cases} cases, not proven by itself</span></dd>`}
        <dt>made by</dt><dd>${row === 0 ? "you: the seed" : `${run.arm(row)}, attempt ${rows.trial[row]}, after ${F.duration(rows.seconds[row])}`}</dd>
        ${rows.parents[row].length > 0 && html`<dt>parents</dt><dd>${rows.parents[row].map((p, n) => html`${n ? ", " : ""}<${Variant} run=${run} id=${rows.id[p]} go=${go} /> (${F.number(rows.score[p])})`)}</dd>`}
        ${children.length > 0 && html`<dt>children</dt><dd>${F.count(children.length)}${children.filter((c) => rows.id[c]).slice(0, 8).map((c) => html`, <${Variant} run=${run} id=${rows.id[c]} go=${go} />`)}${children.length > 8 ? " …" : ""}</dd>`}
        ${found && !found.error && html`<dt>time</dt><dd>${F.number(Number((1000 * found.seconds_a_case).toPrecision(3)))} ms a case</dd>
          ${Object.entries(found.metrics).map(([name, value]) => html`<dt>${name}</dt><dd>${F.number(value)}</dd>`)}
          ${found.size ? html`<dt>size</dt><dd>${F.count(found.size)}</dd>` : ""}
          ${found.details && html`<dt>details</dt><dd class="mono small">${found.details}</dd>`}`}
        ${rows.usd[row] > 0 && html`<dt>cost</dt><dd>${F.dollars(rows.usd[row])}</dd>`}
      </dl>
      ${found === null ? html`<${E.Waiting} what="the program" />` : found.error ? html`<${E.Trouble} text=${found.error} />` : html`
        ${found.duels.map((number) => html`<${DuelSection} run=${run} source=${source} number=${number} />`)}
        ${found.beside && found.scores.length > 0 && found.scores.length === found.beside.scores.length && html`<section class="panel"><h3>Each case against <${Variant} run=${run} id=${found.beside.id} go=${go} /></h3><${E.CaseStrip} scores=${found.scores} beside=${found.beside.scores} sign=${run.sign} failures=${found.case_failures} label="Cases" /></section>`}
        ${found.case_failures.length > 0 && html`<section class="panel"><h3>Cases that failed <span class="quiet">${found.case_failures.length} of ${found.scores.length}</span></h3><ul class="plain mono small">${found.case_failures.slice(0, 12).map(([n, kind, detail]) => html`<li>case ${n}: ${kind}${detail ? `: ${detail}` : ""}</li>`)}</ul></section>`}
        ${found.picture && html`<section class="panel"><h3>Its answer</h3><img class="answer" src=${"data:image/svg+xml;base64," + found.picture} alt="Picture of the answer of ${id}" /></section>`}
        ${found.critique && html`<section class="panel"><h3>What a model said of its failure</h3><pre class="words">${found.critique}</pre></section>`}
        ${found.feedback && html`<section class="panel"><h3>What the evaluator said</h3><pre class="words">${found.feedback}</pre></section>`}
        <section class="panel"><header class="row"><h3>What changed</h3><div class="switch" role="group" aria-label="Compare with">${["parent", "seed", "champion"].map((name) => html`<button type="button" aria-pressed=${name === against} onClick=${() => go({ diff: name }, true)}>${name}</button>`)}</div></header>
          ${!other ? html`<${Empty}>The seed has no parent.<//>` : other === id ? html`<${Empty}>This is the ${against} itself.<//>` : beside === null ? html`<${E.Waiting} what="the other program" />` : beside.error ? html`<${E.Trouble} text=${beside.error} />` : html`<p class="quiet small">from <${Variant} run=${run} id=${other} go=${go} /> to <span class="mono">${id}</span></p><${E.Diff} before=${beside.files} after=${found.files} />`}</section>
        <section class="panel"><h3>Program</h3>${Object.entries(found.files).map(([path, text]) => html`<p class="file mono">${path}</p><${E.Code} text=${text} path=${path} />`)}</section>
        ${found.said.map((said, n) => html`<section class="panel"><h3>What was asked${found.said.length > 1 ? `, ${n + 1} of ${found.said.length}` : ""} <span class="quiet">${said.model}, ${F.dollars(said.usd)}, ${F.count(said.prompt_tokens)} + ${F.count(said.reply_tokens)} tokens, ${F.duration(said.seconds)}</span></h3>
          ${said.error && html`<p class="bad">${said.error}</p>`}<details><summary>Prompt, ${F.size(said.prompt.length)}</summary><pre class="words">${said.prompt}</pre></details><details open><summary>Reply, ${F.size(said.reply.length)}</summary><pre class="words">${said.reply}</pre></details></section>`)}`}
    </article>`;
  };

  function DuelSection({ run, source, number }) {
    const summary = run.head.duels.find((d) => d.number === number);
    const duel = E.useAsked(source, `${run.key}/duel/${number}/${summary.n}/${summary.verdict}/${summary.checks}`, () => source.duel(run.key, number));
    return html`<section class="panel"><h3>Duel ${number} against <span class="mono">${summary.champion}</span></h3>
      ${duel === null ? html`<${E.Waiting} what="its pairs" />` : duel.error ? html`<${E.Trouble} text=${duel.error} />` : html`<p>${duel.ending}: ${F.plural(duel.gains.length, "pair")} on fresh draws, e-value <b>${F.odds(duel.log_e)}</b> of ${F.count(1 / duel.level)} needed at level ${Number(duel.level.toPrecision(2))}.
        ${duel.gain !== null ? html` Gain on ${F.plural(duel.check_gains.length, "further check pair")}: <b>${F.gain({ ratio: duel.ratio }, duel.gain, duel.gain_interval)}</b>.` : ""}</p><${E.DuelPicture} duel=${duel} head=${run.head} /><p class="quiet small">The claim: ${duel.claim}.</p>`}</section>`;
  }

  E.saveProgram = async function (source, run, id) {
    const found = await source.files(run.key, id);
    for (const [path, blob] of found) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = path;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }
  };

  // -------------------------------------------------------------------------------------------- story
  E.StoryView = function StoryView({ run, source, go, palette, state }) {
    const head = run.head, end = state.v && run.row(state.v) >= 0 ? run.row(state.v) : run.row(head.champion.id);
    const path = useMemo(() => run.lineage(end), [run, run.version, end]);
    const advances = run.advances(path), top = Math.max(...advances, 1e-12);
    const isChampion = run.rows.id[end] === head.champion.id;
    return html`<section class="story"><header><h2>From the seed to ${isChampion ? "the champion" : html`<span class="mono">${run.rows.id[end]}</span>`}</h2>
        <p class="quiet">${F.plural(path.length - 1, "edit")}, computed from the lineage: each with its idea, what it changed, and its gain over its best parent on n = ${head.search_cases} search cases; the bar is by how much it raised the best score on this line. Single gains carry noise; those with a promotion were proven on fresh draws.${isChampion ? "" : html` <a href=${E.href({ run: run.key, view: "story" })}>The champion's story</a>`}</p></header>
      ${path.length === 1 && html`<${Empty}>The champion is the seed itself: there is no story yet.<//>`}
      <ol class="steps">${path.map((row, n) => html`<${Step} key=${run.rows.id[row]} run=${run} source=${source} row=${row} before=${n ? path[n - 1] : -1} advance=${advances[n]} top=${top} go=${go} start=${state.open === "all"} />`)}</ol></section>`;
  };

  function Step({ run, source, row, before, advance, top, go }) {
    const rows = run.rows, id = rows.id[row], promotion = run.promoted.get(id), gain = rows.gain[row], [open, setOpen] = useState(false);
    const others = rows.parents[row].slice(1);
    return html`<li class="${promotion && !promotion.undone ? "proven" : ""}"><div class="step">
      <p class="row"><span><${Variant} run=${run} id=${id} go=${go} /> <span class="quiet">${row === 0 ? "the seed" : run.arm(row)}${others.length ? html` with ${others.map((p) => rows.id[p]).join(", ")}` : ""}</span> <${E.Badges} run=${run} row=${row} /></span>
        <span class="gain ${gain > 0 ? "good" : gain < 0 ? "bad" : "quiet"}">${gain === null ? F.number(rows.score[row]) : html`${F.signed(gain)} <${E.Bar} share=${advance / top} kind="good" />`}</span></p>
      ${rows.idea[row] && html`<p class="idea">${rows.idea[row]}</p>`}
      ${promotion && promotion.gain !== null && promotion.gain !== undefined && html`<p>Proven better than ${promotion.before}${promotion.undone ? ", then undone" : ""}; by how much, on n = ${promotion.checks} check pairs: <b>${F.gain(run.head, promotion.gain, promotion.gain_interval)}</b></p>`}
      ${before >= 0 && html`<details open=${open} onToggle=${(e) => setOpen(e.target.open)}><summary>What changed</summary>${open && html`<${StepDiff} run=${run} source=${source} from=${rows.id[before]} to=${id} />`}</details>`}
    </div></li>`;
  }

  function StepDiff({ run, source, from, to }) {
    const a = E.useAsked(source, `${run.key}/${from}`, () => source.variant(run.key, from)), b = E.useAsked(source, `${run.key}/${to}`, () => source.variant(run.key, to));
    if (a === null || b === null) return html`<${E.Waiting} what="both programs" />`;
    if (a.error || b.error) return html`<${E.Trouble} text=${a.error || b.error} />`;
    return html`<${E.Diff} before=${a.files} after=${b.files} />`;
  }

  // ---------------------------------------------------------------------------------------------- map
  E.MapView = function MapView({ run, source, go, palette, state }) {
    const heat = E.useAsked(source, `${run.key}/heat/${run.head.promotions.length}`, () => source.heat(run.key)), plane = E.useAsked(source, `${run.key}/plane/${run.head.promotions.length}`, () => source.plane(run.key));
    return html`<section class="panel"><h2>Cases by variants</h2>${heat === null ? html`<${E.Waiting} what="the cases" />` : heat.error ? html`<${E.Trouble} text=${heat.error} />` : html`<${Heat} run=${run} heat=${heat} go=${go} />`}</section>
      ${plane === null ? html`<${E.Waiting} what="the plane" />` : plane.error ? html`<${E.Trouble} text=${plane.error} />` : html`<${Plane} run=${run} plane=${plane} go=${go} state=${state} palette=${palette} />`}`;
  };

  function Heat({ run, heat, go }) {
    const gains = heat.rows.flatMap((r) => r.gains), ahead = gains.filter((g) => g > 1e-12), all = (ahead.length ? ahead : gains.map(Math.abs)).sort((a, b) => a - b), reach = all[Math.floor(0.9 * (all.length - 1))] || all.at(-1) || 1;
    if (!heat.rows.length) return html`<${Empty}>No variant has scores yet.<//>`;
    const order = Array.from({ length: heat.cases }, (_, n) => n), w = Math.max(3, Math.min(18, 860 / heat.cases)), h = 15, left = 92;
    const level = (gain) => Math.max(-5, Math.min(5, Math.round((5 * gain) / reach)));
    return html`<div class="scroll" tabindex="0" role="region" aria-label="Cases by variants"><svg class="heat" width=${left + w * heat.cases + 8} height=${h * heat.rows.length + 26} role="img" aria-label="${heat.rows.length} variants on ${heat.cases} search cases, better or worse than the seed">
      ${heat.rows.map((r, y) => html`<g>
        <text x=${left - 6} y=${y * h + 11.5} class="label end mono ${r.id === run.head.champion.id ? "strong" : ""}">${r.id}</text>
        ${order.map((n) => html`<rect x=${left + n * w} y=${y * h} width=${w - 0.5} height=${h - 1} class="${r.failed.includes(n) ? "failed" : "g" + level(r.gains[n])}"><title>${r.id}, case ${n}: ${r.failed.includes(n) ? "failed" : F.signed(r.gains[n]) + " over the seed"}</title></rect>`)}</g>`)}
      <text x=${left} y=${h * heat.rows.length + 18} class="label">search cases, in their order</text></svg></div>
      <p class="caption">The champion's line, promoted variants and the best by search score, oldest first; a cell is one case. <span class="scale"><i class="g-5"></i><i class="g-3"></i><i class="g0"></i><i class="g3"></i><i class="g5"></i></span> worse to better than the seed, full colour at ±${F.number(Number(reach.toPrecision(2)))}.</p>
      <details><summary>Go to a variant of this map</summary><p>${heat.rows.map((r, n) => html`${n ? ", " : ""}<${Variant} run=${run} id=${r.id} go=${go} />`)}</p></details>`;
  }

  function Plane({ run, plane, go, state, palette }) {
    const names = plane.measures.map((m) => m.name), chosen = plane.measures.find((m) => m.name === state.m) || plane.measures[0];
    const points = useMemo(() => {
      const ys = chosen.values.slice().sort((a, b) => a - b), cut = (q) => ys[Math.max(0, Math.min(ys.length - 1, Math.floor(q * (ys.length - 1))))];
      const layout = E.layoutByScore(run), high = cut(0.98), low = ys[0], front = new Set(chosen.front);
      const step = Math.max(1, Math.ceil(chosen.rows.length / 4000));
      // of a run at work the measures may know variants that this page has not heard of yet
      return chosen.rows.map((row, n) => ({ row, value: chosen.values[n], x: 1 - (layout.y[row] - 0.03) / 0.9, y: high > low ? Math.min(1, (chosen.values[n] - low) / (high - low)) : 0.5, front: front.has(row), keep: layout.y[row] !== undefined && (n % step === 0 || front.has(row) || run.line.has(row)) })).filter((p) => p.keep);
    }, [run, run.version, chosen]);
    const W = 760, H = 340, L = 60, X = (p) => L + p.x * (W - L - 16), Y = (p) => 12 + (1 - p.y) * (H - 50), layout = E.layoutByScore(run);
    const values = chosen.values.length ? chosen.values : [0], low = values.reduce((a, b) => Math.min(a, b)), top = values.slice().sort((a, b) => a - b)[Math.floor(0.98 * (values.length - 1))];
    const ahead = points.filter((p) => p.front).sort((a, b) => a.x - b.x);
    return html`<section class="panel"><header class="row"><h2>Score and ${chosen.name}</h2><label class="field">Measure <select value=${chosen.name} onChange=${(e) => go({ m: e.target.value }, true)}>${names.map((name) => html`<option value=${name} selected=${name === chosen.name}>${name}</option>`)}</select></label></header>
      <svg class="plane" viewBox="0 0 ${W} ${H}" role="group" aria-label="${F.count(chosen.rows.length)} variants by score and ${chosen.name}; ${chosen.front.length} on the front">
        <path d="M${L} 6V${H - 32}H${W - 8}" class="axis" /><text x=${L - 6} y="18" class="label end">${F.number(Number(top.toPrecision(3)))}</text><text x=${L - 6} y=${H - 38} class="label end">${F.number(Number(low.toPrecision(3)))}</text>
        <text x=${L} y=${H - 14} class="label">${F.number(layout.low)} or worse</text><text x=${W - 12} y=${H - 14} class="label end">${F.number(layout.best)}: better</text><text x=${L + 6} y="16" class="label">${chosen.name}</text>
        <path class="points" d=${points.filter((p) => !p.front).map((p) => `M${X(p).toFixed(1)} ${Y(p).toFixed(1)}h0`).join("")} />
        ${ahead.length > 0 && html`<polyline class="front" points=${ahead.map((p) => `${X(p).toFixed(1)},${Y(p).toFixed(1)}`).join(" ")} />`}
        ${[...ahead, ...points.filter((p) => run.line.has(p.row) && !p.front)].slice(0, 200).map((p) => html`<a href=${E.href({ run: run.key, view: "variant", v: run.rows.id[p.row] })} aria-label="${run.rows.id[p.row]}: ${F.number(run.rows.score[p.row])}, ${F.number(p.value)}"><circle cx=${X(p)} cy=${Y(p)} r="4.5" class=${p.front ? "ahead" : "line"}><title>${run.rows.id[p.row]}: ${F.number(run.rows.score[p.row])}, ${chosen.name} ${F.number(p.value)}</title></circle></a>`)}
      </svg><p class="caption">Search scores and measured values, nothing proven. ${chosen.front.length ? "The line is the Pareto front: nobody is better in both." : "No front: the problem does not say which direction of this measure is better."} Filled: the champion's line. ${chosen.rows.length > 4000 ? "Of many points every few are drawn." : ""}</p></section>`;
  }

  // ------------------------------------------------------------------------------------------ compare
  E.CompareView = function CompareView({ runs, source, state, go, palette, load }) {
    const listed = source.list.filter((each) => each.begun), wanted = (state.runs ? state.runs.split(",") : listed.slice(0, 8).map((r) => r.key)).filter((key) => listed.some((r) => r.key === key));
    useEffect(() => { for (const key of wanted) if (!runs.has(key)) load(key); }, [wanted.join(",")]);
    const ready = wanted.filter((key) => runs.has(key)).map((key) => runs.get(key)), x = ["trials", "seconds", "usd"].includes(state.x) ? state.x : "trials", what = state.what === "seen" ? "seen" : "proven";
    const version = ready.map((run) => `${run.key}:${run.version}`).join(" ");
    const groups = useMemo(() => {
      const found = new Map();
      for (const run of ready) {
        const s = run.head.settings || {}, name = [run.head.problem, s.baseline, s.population, (s.operators || []).join("+"), (s.models || []).join("+")].filter(Boolean).join(", ");
        found.set(name, [...(found.get(name) || []), run]);
      }
      return [...found].map(([name, members], n) => ({ name, members, colour: palette.kinds[n % palette.kinds.length] }));
    }, [version, palette]);
    const { lines, low, high } = useMemo(() => {
      const lines = [];
      for (const { name, members, colour } of groups) {
        const each = members.map((run) => { const p = E.progressLines(run, x, palette); return (what === "seen" ? p.seen : p.proven).map((q) => [q[0], q[1]]); });
        if (members.length === 1) { lines.push({ label: `${members[0].head.name}, ${name}`, colour, points: each[0], stepped: true }); continue; }
        const end = Math.min(...each.map((points) => points.at(-1)[0])), xs = [...new Set(each.flatMap((points) => points.map((p) => p[0])))].filter((v) => v <= end).sort((a, b) => a - b), at = each.map(() => 0);
        const points = xs.map((v) => {
          const values = each.map((list, i) => { while (at[i] + 1 < list.length && list[at[i] + 1][0] <= v) at[i]++; return list[at[i]][1]; }).filter((y) => y !== null).sort((a, b) => a - b);
          const middle = values.length % 2 ? values[(values.length - 1) / 2] : (values[values.length / 2 - 1] + values[values.length / 2]) / 2;
          return [v, middle, values[0], values.at(-1)];
        });
        lines.push({ label: `${name}: median of n = ${members.length} runs, band from the worst to the best`, colour, points, stepped: true, band: colour + "33" });
      }
      const values = lines.flatMap((line) => line.points.flatMap((p) => p.slice(1))).filter((v) => v !== null && isFinite(v));
      return { lines, low: Math.min(...values), high: Math.max(...values) };
    }, [groups, x, what]);
    const problems = new Set(ready.map((run) => run.head.problem));
    return html`<section class="panel"><header class="row"><h2>Compare</h2><div class="row">
        <div class="switch" role="group" aria-label="What">${["proven", "seen"].map((name) => html`<button type="button" aria-pressed=${what === name} onClick=${() => go({ what: name }, true)}>best ${name}</button>`)}</div>
        <div class="switch" role="group" aria-label="Axis">${["trials", "seconds", "usd"].map((name) => html`<button type="button" aria-pressed=${name === x} onClick=${() => go({ x: name }, true)}>${E.AXES[name]}</button>`)}</div></div></header>
      ${ready.length ? html`<${E.Chart} lines=${lines} x=${x} palette=${palette} height=${340} low=${low} high=${high} label="${ready.length} runs on one axis: ${lines.map((line) => `${line.label} ends at ${F.number(line.points.at(-1)[1])}`).join("; ")}" yLabel=${ready[0].head.unit || "score"} />` : html`<${Empty}>Choose runs below.<//>`}
      ${problems.size > 1 && html`<p class="note">These runs are of ${problems.size} different problems: their scores have no common unit.</p>`}
      <fieldset class="choices"><legend>Runs</legend>${listed.map((each) => html`<label><input type="checkbox" checked=${wanted.includes(each.key)} onChange=${(e) => go({ runs: (e.target.checked ? [...wanted, each.key] : wanted.filter((key) => key !== each.key)).join(",") || "-" }, true)} /> ${each.name} <span class="quiet">${each.problem}</span></label>`)}</fieldset>
      ${ready.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Runs in numbers"><table><thead><tr><th>run</th><th class="r">attempts</th><th class="r">time</th><th class="r">cost</th><th class="r">promotions</th><th class="r">seed</th><th class="r">champion, confirmed</th><th class="r">gain over the seed, 95 %</th></tr></thead><tbody>
        ${ready.map((run) => html`<tr><td><a href=${E.href({ run: run.key, view: "overview" })}>${run.head.name}</a></td><td class="r">${F.count(run.head.trials)}</td><td class="r">${F.duration(run.head.seconds)}</td><td class="r">${run.head.usd ? F.dollars(run.head.usd) : "–"}</td><td class="r">${run.head.promotions.filter((p) => !p.undone).length}</td><td class="r">${F.number(run.head.seed_score)}</td><td class="r">${run.head.champion.confirmed === null ? html`<span class="quiet">not yet</span>` : html`${F.interval(run.head.champion.confirmed, run.head.champion.interval)}${run.head.sealed ? html` <span class="quiet">n = ${F.count(run.head.sealed.count)}</span>` : ""}`}</td><td class="r">${run.head.champion.gain === null ? "–" : F.gain(run.head, run.head.champion.gain, run.head.champion.gain_interval)}</td></tr>`)}</tbody></table></div>`}
      <p class="caption">${what === "seen" ? "Best seen is a maximum of noisy search scores and flatters." : "Best proven: the champion's mean on its check pairs, or exactly where the answer is the result."} Runs of one problem with the same operators, population and models are taken together as seeds of one setting.</p></section>`;
  };

  // ------------------------------------------------------------------------------------------ control
  E.ControlView = function ControlView({ run, source, state, go }) {
    const [said, setSaid] = useState(null), [busy, setBusy] = useState(false), [variant, setVariant] = useState(state.v || ""), head = run.head;
    const ask = async (request) => {
      setBusy(true);
      try { const answer = await source.control(run.key, request); setSaid({ ok: true, text: answer.says }); } catch (error) { setSaid({ ok: false, text: String(error.message || error) }); }
      setBusy(false);
    };
    const value = (event, name) => new FormData(event.target).get(name);
    const form = (make) => (event) => { event.preventDefault(); const request = make(event); if (request) ask(request); };
    if (!source.mayControl) return html`<section class="panel"><h2>Control</h2><${Empty}>This explorer only looks. Start it with <code>evolve ui --allow-control</code> to pause a run, raise a budget, pin or ban a variant, or leave a note or a hint.<//></section>`;
    return html`<section class="panel"><h2>Control</h2><p class="quiet">Each request becomes an event in the run, in the order in which the run's own process reads it. ${head.live ? "" : "No process works on this run now: notes, hints, pins and bans wait for its next session, the rest is refused."}</p>
      <p role="status" class=${said ? (said.ok ? "good" : "bad") : ""}>${said ? said.text : ""}</p>
      <div class="buttons"><button type="button" disabled=${busy} onClick=${() => ask({ action: head.paused ? "resume" : "pause" })}>${head.paused ? "Go on" : "Pause"}</button><button type="button" class="danger" disabled=${busy} onClick=${() => confirm("Stop this run? Everything that is finished is recorded; the same command goes on.") && ask({ action: "stop" })}>Stop</button></div>
      <form onSubmit=${form((e) => ({ action: "budget", limits: { [value(e, "which")]: Number(value(e, "limit")) } }))}><h3>Raise a budget</h3><label class="field">Budget <select name="which">${["trials", "seconds", "usd", "tokens", "calls"].map((n) => html`<option value=${n}>${n}</option>`)}</select></label> <label class="field">to <input name="limit" type="number" min="0" step="any" required /></label> <button disabled=${busy}>Raise</button></form>
      <form onSubmit=${form((e) => ({ action: e.submitter.value, variant: value(e, "variant") }))}><h3>Pin or ban a variant</h3><label class="field">Variant <input name="variant" class="mono" required value=${variant} onInput=${(e) => setVariant(e.target.value)} placeholder="17-3fa2c1" /></label>
        <button value="pin" disabled=${busy}>Pin</button> <button value="unpin" disabled=${busy}>Unpin</button> <button value="ban" disabled=${busy}>Ban</button> <button value="unban" disabled=${busy}>Allow again</button><p class="quiet small">A pinned variant is a parent of every fourth child; a banned one has no more children and opens no more duels.</p></form>
      <form onSubmit=${form((e) => ({ action: "hint", text: value(e, "text") }))}><h3>Hint for the next prompts</h3><label class="field grow"><span class="unseen">Hint</span><textarea name="text" rows="3" maxlength="2000" placeholder="Stands at the end of every prompt until another takes its place; an empty one removes it"></textarea></label> <button disabled=${busy}>Give the hint</button></form>
      <form onSubmit=${form((e) => ({ action: "note", text: value(e, "text"), ...(value(e, "variant") ? { variant: value(e, "variant") } : {}) }))}><h3>Note</h3><label class="field grow"><span class="unseen">Note</span><textarea name="text" rows="2" maxlength="2000" required placeholder="For those who read this run"></textarea></label> <label class="field">about <input name="variant" class="mono" value=${variant} onInput=${(e) => setVariant(e.target.value)} placeholder="a variant, or nothing" /></label> <button disabled=${busy}>Add the note</button></form>
    </section>`;
  };
})(evolve);
