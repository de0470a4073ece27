"use strict";
/* Charts by uPlot, small pictures by SVG. Each has words that say what it shows. */
(function (E) {
  const { html, useEffect, useRef } = htmPreact, F = E.format;

  E.AXES = { trials: "attempts", seconds: "seconds", usd: "dollars" };
  const tick = { trials: (v) => F.count(v), seconds: (v) => (v < 60 ? `${v} s` : v < 3600 ? `${+(v / 60).toFixed(1)} min` : `${+(v / 3600).toFixed(1)} h`), usd: (v) => F.dollars(v) };

  /* A chart of lines: `lines` are {label, colour, width, dash, points: [[x, y]], low, high, stepped}. */
  E.Chart = function Chart({ lines, x, height = 280, palette, label, yLabel, marks, low, high }) {
    const box = useRef(), chart = useRef();
    useEffect(() => {
      const xs = [...new Set(lines.flatMap((line) => line.points.map((p) => p[0])))].sort((a, b) => a - b);
      const data = [xs], series = [{ value: (_, v) => (v === null || v === undefined ? "–" : tick[x](v)), label: E.AXES[x] }], bands = [];
      const hold = (points, stepped, at) => {
        let n = 0, value = null;
        const exact = new Map(points.map((p) => [p[0], p[at]]));
        return xs.map((v) => {
          if (!stepped) return exact.has(v) ? exact.get(v) : undefined; // undefined: joined over
          while (n < points.length && points[n][0] <= v) value = points[n++][at];
          return value === undefined ? null : value;
        });
      };
      for (const line of lines) {
        const paths = line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined;
        if (line.band) {
          const first = data.length;
          for (const at of [3, 2]) {
            data.push(hold(line.points, line.stepped, at));
            series.push({ label: "", stroke: "transparent", width: 0, paths, points: { show: false }, class: "unseen" });
          }
          bands.push({ series: [first, first + 1], fill: line.band });
        }
        data.push(hold(line.points, line.stepped, 1));
        series.push({ label: line.label, stroke: line.colour, width: line.width || 2, dash: line.dash, paths, spanGaps: true,
          points: { show: Boolean(line.dots), size: 6, fill: line.colour }, value: (_, v) => F.number(v) });
      }
      const axis = { stroke: palette.muted, grid: { stroke: palette.grid, width: 1 }, ticks: { stroke: palette.grid, width: 1 }, font: "12px system-ui, sans-serif" };
      const size = () => ({ width: Math.max(240, box.current.clientWidth), height });
      const made = (chart.current = new uPlot({
        ...size(), series, bands, legend: { show: false }, padding: [12, 12, 0, 0],
        scales: { x: { time: false }, y: low === undefined ? {} : { range: (_, min, max) => [Math.max(min, low), Math.min(max, high)].map((v, i) => v + (i ? 1 : -1) * 0.06 * ((Math.min(max, high) - Math.max(min, low)) || 1)) } },
        axes: [{ ...axis, values: (_, vs) => vs.map(tick[x]) }, { ...axis, size: 64, values: (_, vs) => vs.map((v) => F.number(v)) }],
        cursor: { drag: { x: true, y: false }, points: { size: 7 } },
        hooks: {
          setCursor: [(u) => {
            const at = u.cursor.idx, words = box.current.parentElement.querySelector(".reading");
            if (!words) return;
            words.textContent = at === null || at === undefined ? "" : [tick[x](xs[at]), ...u.series.slice(1).map((s, n) => (s.label && u.data[n + 1][at] !== null && u.data[n + 1][at] !== undefined ? `${s.label} ${F.number(u.data[n + 1][at])}` : "")).filter(Boolean)].join(" · ");
          }],
          draw: marks ? [(u) => {
            const c = u.ctx;
            for (const mark of marks) {
              const px = u.valToPos(mark.x, "x", true), py = u.valToPos(mark.y, "y", true), r = 5 * devicePixelRatio;
              if (!(px >= u.bbox.left - 1) || px > u.bbox.left + u.bbox.width + 1) continue;
              c.save();
              if (mark.low !== undefined) {
                c.strokeStyle = mark.colour;
                c.lineWidth = 2 * devicePixelRatio;
                c.beginPath();
                c.moveTo(px, u.valToPos(mark.low, "y", true));
                c.lineTo(px, u.valToPos(mark.high, "y", true));
                c.stroke();
              }
              c.fillStyle = mark.colour;
              c.beginPath();
              c.moveTo(px, py - r); c.lineTo(px + r, py); c.lineTo(px, py + r); c.lineTo(px - r, py);
              c.closePath();
              c.fill();
              c.restore();
            }
          }] : [],
        },
      }, data, box.current));
      const observer = new ResizeObserver(() => made.setSize(size()));
      observer.observe(box.current);
      return () => { observer.disconnect(); made.destroy(); };
    }, [lines, x, palette, height]);
    return html`<figure class="chart">
      <div class="keys">${lines.filter((line) => line.label).map((line) => html`<span><i class="stroke" style=${{ background: line.colour }}></i>${line.label}</span>`)}
        ${yLabel && html`<span class="quiet">${yLabel}</span>`}</div>
      <div ref=${box} role="img" aria-label=${label}></div>
      <p class="reading quiet" aria-hidden="true"></p>
    </figure>`;
  };

  /* A strip of cases: each a bar up or down from its parent's score. */
  E.CaseStrip = function CaseStrip({ scores, beside, sign, failures, label }) {
    const gains = scores.map((score, n) => (beside ? sign * (score - beside[n]) : 0));
    const sorted = gains.map(Math.abs).sort((a, b) => a - b), reach = sorted[Math.floor(0.97 * (sorted.length - 1))] || sorted[sorted.length - 1] || 1;
    const n = scores.length, width = Math.max(160, Math.min(960, n * 12)), w = width / n, failed = new Map(failures.map((f) => [f[0], f]));
    const better = gains.filter((g) => g > 1e-12).length, worse = gains.filter((g) => g < -1e-12).length;
    return html`<figure class="strip">
      <svg viewBox="0 0 ${width} 90" preserveAspectRatio="none" role="img" aria-label="${label}: better on ${better} of ${n} cases, worse on ${worse}">
        ${gains.map((gain, at) => {
          const h = Math.min(42, (42 * Math.abs(gain)) / reach), why = failed.get(at);
          return html`<rect x=${at * w + 0.12 * w} y=${why ? 5 : gain > 0 ? 45 - h : 45} width=${0.76 * w} height=${why ? 80 : Math.max(h, 0.6)} class=${why ? "case failed" : gain > 1e-12 ? "case good" : gain < -1e-12 ? "case bad" : "case"}>
            <title>case ${at}: ${F.number(scores[at])}${beside ? `, parent ${F.number(beside[at])}` : ""}${why ? `, ${why[1]}: ${why[2]}` : ""}</title></rect>`;
        })}
        <line x1="0" x2=${width} y1="45" y2="45" class="zero" />
      </svg>
      <figcaption>A bar a case, in their order: up is better than the best parent there, down worse${failed.size ? "; a full red bar failed" : ""}. Better on ${better}, worse on ${worse}, equal on ${n - better - worse}; n = ${n}.</figcaption>
    </figure>`;
  };

  /* A duel: a dot a pair, the mean, and below it the evidence on its way to the threshold. */
  E.DuelPicture = function DuelPicture({ duel, head }) {
    const gains = duel.gains, checks = duel.check_gains, total = Math.max(1, gains.length + checks.length);
    const all = [...gains, ...checks, 0, duel.margin], W = 760, H1 = 170, H2 = 110, L = 56;
    const low = Math.min(...all), high = Math.max(...all), span = high - low || 1;
    const x = (n) => L + ((n + 0.5) / total) * (W - L - 8), y = (v) => 10 + (1 - (v - low) / span) * (H1 - 20);
    const needed = -Math.log(duel.level), top = Math.max(needed, ...duel.path, 0.1), bottom = Math.min(0, ...duel.path);
    const e = (v) => H1 + 24 + (1 - (v - bottom) / (top - bottom)) * (H2 - 14);
    const mean = gains.length ? gains.reduce((a, b) => a + b, 0) / gains.length : 0;
    const dots = (values, first) => values.map((v, n) => `M${x(first + n).toFixed(1)} ${y(v).toFixed(1)}h0`).join("");
    const show = (v) => (duel.ratio ? "×" + F.number(Math.exp(v)) : F.signed(v));
    return html`<figure class="duel">
      <svg viewBox="0 0 ${W} ${H1 + H2 + 34}" role="img" aria-label="Duel ${duel.number}: ${F.plural(gains.length, "pair")}, mean gain ${show(mean)}, e-value ${F.odds(duel.log_e)}, needed ${F.count(1 / duel.level)}; ${duel.ending}">
        <text x=${L - 6} y="16" class="label end">${show(high)}</text><text x=${L - 6} y=${H1 - 6} class="label end">${show(low)}</text>
        <line x1=${L} x2=${W - 8} y1=${y(duel.margin)} y2=${y(duel.margin)} class="zero dashed" />
        <path d=${dots(gains, 0)} class="pairs" /><path d=${dots(checks, gains.length)} class="checks" />
        ${gains.length > 0 && html`<line x1=${L} x2=${x(gains.length - 1)} y1=${y(mean)} y2=${y(mean)} class="mean" />`}
        ${duel.gain_interval && checks.length > 0 && html`<line x1=${x(gains.length + checks.length / 2)} x2=${x(gains.length + checks.length / 2)} y1=${y(Math.max(low, duel.gain_interval[0]))} y2=${y(Math.min(high, duel.gain_interval[1]))} class="gain" />`}
        <text x=${L - 6} y=${e(needed) + 4} class="label end">${F.odds(needed)}</text><text x=${L - 6} y=${e(0) + 4} class="label end">1</text>
        <line x1=${L} x2=${W - 8} y1=${e(needed)} y2=${e(needed)} class="needed" />
        <polyline points=${[0, ...duel.path].map((v, n) => `${(x(n - 1) + 0).toFixed(1)},${e(v).toFixed(1)}`).join(" ")} class="evidence" />
        <text x=${L} y=${H1 + H2 + 28} class="label">pairs, in the order of their draws${checks.length ? `; the last ${checks.length} are check pairs` : ""}</text>
      </svg>
      <figcaption>Above: how much the challenger gained in each pair on a fresh draw${checks.length ? ", then on the check pairs (amber, with their 95 % interval)" : ""}. Below: the evidence (e-value) after each pair; the dashed line is what level ${Number(duel.level.toPrecision(2))} needs, 1 / level = ${F.count(1 / duel.level)}.</figcaption>
    </figure>`;
  };

  E.Bar = ({ share, kind }) => html`<span class="bar ${kind || ""}" aria-hidden="true"><i style=${{ width: `${Math.max(0, Math.min(100, 100 * share))}%` }}></i></span>`;
})(evolve);
