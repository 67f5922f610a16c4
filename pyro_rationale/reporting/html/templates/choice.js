  // What documents are sorted by; unknown values come last.
  const mean = (values) => {
    const known = values.filter((value) => value != null);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };
  const targets = data.names.map((_, i) => i);
  const scores = {
    order: (doc, i) => i,
    error: (doc) =>
      mean(
        targets.map((t) => {
          const actual = truth(doc, t);
          if (actual == null || doc.v[t] == null) return null;
          if (!rated) return 1 - odds(doc.v, t)[actual];
          return Math.abs(doc.v[t] - actual) / (data.ranges[t][1] - data.ranges[t][0]);
        }),
      ),
    truth: (doc) => mean(targets.map((t) => truth(doc, t))),
    value: (doc) => mean(targets.map((t) => doc.v[t])),
    sure: (doc) => mean(targets.map((t) => Math.max(...odds(doc.v, t)))),
    share: (doc) => (doc.p.length ? counted(doc.k) / doc.p.length : null),
    unsure: (doc) => mean(doc.p.map((p) => p * (100 - p))),
    length: (doc) => doc.p.length,
    gold: (doc) => {
      if (!doc.g || !doc.g.length) return null;
      return (2 * hits(doc)) / (counted(doc.k) + counted(doc.g));
    },
  };
  function hits(doc) {
    const gold = flags(doc.g, doc.p.length);
    return flags(doc.k, doc.p.length).reduce((sum, kept, i) => sum + (kept & gold[i]), 0);
  }
  const wanted = {
    all: () => true,
    empty: (doc) => doc.k.length === 0,
    wrong: (doc) => targets.some((t) => holds(doc, t) === false),
    miss: (doc) => doc.g !== undefined && doc.g.length > 0 && hits(doc) === 0,
  };

  const lowered = new Map();
  function searched(doc, within) {
    const key = within ? "kept" : "text";
    if (!lowered.has(doc)) lowered.set(doc, {});
    const known = lowered.get(doc);
    if (!(key in known)) known[key] = (within ? snippets(doc, doc.k) : `${doc.t} ${doc.i}`).toLowerCase();
    return known[key];
  }
  const asked = () => ask.search.value.trim().toLowerCase();
  function choose(first = 0) {
    const query = asked();
    const keep = wanted[ask.only.value];
    const held = phrase === null ? null : new Set(data.phrases[phrase][1].map((i) => all[i]));
    shown = all.filter((doc) => {
      if (alone !== null) return doc.i === alone;
      if (held && !held.has(doc)) return false;
      return keep(doc) && (!query || searched(doc, ask.within.checked).includes(query));
    });
    const name = ask.sort.value.replace("-", "");
    const sign = ask.sort.value.endsWith("-") ? -1 : 1;
    const values = new Map(shown.map((doc) => [doc, scores[name](doc, number.get(doc))]));
    shown.sort((one, other) => {
      const [a, b] = [values.get(one), values.get(other)];
      if (a == null || b == null) return (a == null) - (b == null);
      return sign * (a - b);
    });
    page = Math.min(first, Math.max(0, pages() - 1));
    show();
  }
  const perPage = () => Number(ask.size.value) || Math.max(1, shown.length);
  const pages = () => Math.max(1, Math.ceil(shown.length / perPage()));
  const number = new Map(all.map((doc, i) => [doc, i]));
