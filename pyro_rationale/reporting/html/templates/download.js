  // The documents that are found, for a spreadsheet.
  function table() {
    const cell = (value) => {
      // A text that begins like a formula must not be one.
      const plain = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : value == null ? "" : String(value);
      return /[",\n\r]/.test(plain) ? `"${plain.replace(/"/g, '""')}"` : plain;
    };
    const each = (make_) => targets.flatMap((t) => make_(t, data.names.length > 1 ? ` ${data.names[t]}` : ""));
    const ends = rated && all.some((doc) => doc.n);
    const head = ["id", "text", ...each((t, name) => [`prediction${name}`, ...(rated ? [] : [`probability${name}`]),
      ...(ends ? [`low${name}`, `high${name}`] : []), `truth${name}`, ...(data.own ? [`rationale${name}`] : [])]),
    "rationale", "kept share"];
    const rows = shown.map((doc) => [doc.i, doc.t, ...each((t) => {
      const label = rated ? 0 : best(doc.v, t);
      const actual = truth(doc, t);
      return [rated ? doc.v[t] : data.classes[label], ...(rated ? [] : [odds(doc.v, t)[label]]),
        ...(ends ? [doc.n && doc.n[2 * t], doc.n && doc.n[2 * t + 1]] : []),
        actual == null || rated ? actual : data.classes[actual],
        ...(data.own ? [doc.m ? snippets(doc, doc.m[t][0]) : ""] : [])];
    }), doc.k.length ? snippets(doc, doc.k) : "", doc.p.length ? Number((counted(doc.k) / doc.p.length).toFixed(4)) : ""]);
    return [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }
  at("download").addEventListener("click", () => {
    const blob = new Blob(["\ufeff", table()], { type: "text/csv" });
    const link = make("a", { download: "documents.csv" });
    link.href = URL.createObjectURL(blob);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
