/** Style sheet of the docs page; small, light and dark, no fonts or images from anywhere. */
export const DOCS_CSS = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d5dae0;--card:#f6f8fa;--link:#0a58ca;
--get:#0a6b3d;--post:#0a58ca;--put:#8a5200;--patch:#6f42c1;--delete:#b3261e}
@media (prefers-color-scheme:dark){:root{--bg:#12161b;--fg:#e4e8ec;--dim:#9aa5b1;--line:#2e353d;--card:#1a2027;--link:#79b0ff;
--get:#56c98a;--post:#79b0ff;--put:#e0a455;--patch:#b897f5;--delete:#ff8a80}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.55 system-ui,sans-serif}
a{color:var(--link)}
.page{display:grid;grid-template-columns:17rem minmax(0,1fr);max-width:76rem;margin:0 auto}
nav{position:sticky;top:0;align-self:start;max-height:100vh;overflow:auto;padding:1.5rem 1rem;border-right:1px solid var(--line);font-size:.875rem}
nav h2{font-size:.75rem;letter-spacing:.04em;text-transform:uppercase;color:var(--dim);margin:1.25rem 0 .25rem}
nav ul{list-style:none;margin:0;padding:0}
nav a{display:block;padding:.15rem 0;text-decoration:none}
nav a:hover,nav a:focus{text-decoration:underline}
main{padding:1.5rem 2rem 4rem}
h1{margin-top:0}
section.call{border-top:1px solid var(--line);padding:1rem 0 1.5rem}
.call h3{margin:.25rem 0;font-size:1.15rem}
.call h4{margin:1rem 0 .35rem;font-size:.9rem}
.target{font:600 .95rem/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
.get{color:var(--get)}.post{color:var(--post)}.put{color:var(--put)}.patch{color:var(--patch)}.delete{color:var(--delete)}
.dim{color:var(--dim)}
code,pre{font-family:ui-monospace,monospace;font-size:.85em}
code{background:var(--card);padding:.1em .3em;border-radius:4px}
pre{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.75rem;overflow:auto}
pre code{background:none;padding:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--dim)}
details{margin:.5rem 0}
summary{cursor:pointer}
@media (max-width:52rem){.page{display:block}nav{position:static;max-height:none;border-right:0;border-bottom:1px solid var(--line)}main{padding:1rem}}
`;
