/* SPDX-License-Identifier: Apache-2.0 */
/* The style of the shard page. Colours have a contrast of at least 4.5 to the background, in light and dark mode. */
#include "page_parts.h"

const char page_style[] = "\
:root{color-scheme:light dark;--ground:#fff;--text:#1f2328;--soft:#57606a;--line:#d0d7de;--card:#f6f8fa;\
--bar:#0a64c2;--good:#116329;--bad:#a40e26;--warn:#7d4e00;--badground:#ffebe9}\
@media(prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--soft:#9ba5b0;--line:#30363d;--card:#161b22;\
--bar:#58a6ff;--good:#56d364;--bad:#ff8a80;--warn:#e3b341;--badground:#3c1618}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:72rem;padding:1rem;background:var(--ground);color:var(--text);\
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
a{color:var(--bar)}\
:focus-visible{outline:3px solid var(--bar);outline-offset:2px}\
.skip{position:absolute;left:-99rem}.skip:focus{position:static}\
header,footer{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;align-items:baseline}\
header{border-bottom:1px solid var(--line);padding-bottom:.5rem}\
footer{color:var(--soft);margin-top:2rem}\
h1{font-size:1.5rem;margin:0}\
h2{font-size:1.25rem;margin:2rem 0 .5rem;display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline}\
h3{font-size:1.05rem;margin:1.5rem 0 .5rem;display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline}\
p{margin:.5rem 0}\
nav ul{display:flex;flex-wrap:wrap;gap:0 1rem;list-style:none;margin:0;padding:0}\
code,td,input{font-variant-numeric:tabular-nums}\
code{font-family:ui-monospace,monospace;font-size:.9em}\
.soft{color:var(--soft)}\
.state{font-size:.875rem;font-weight:600;white-space:nowrap}\
.good{color:var(--good)}.bad{color:var(--bad)}.quiet{color:var(--soft)}.warn{color:var(--warn)}\
.alarm{background:var(--badground);border-left:4px solid var(--bad);padding:.5rem .75rem}\
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.5rem 0}\
.facts dt{color:var(--soft)}.facts dd{margin:0}\
.tiles{display:flex;flex-wrap:wrap;gap:.5rem;margin:.5rem 0;padding:0}\
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.35rem .75rem}\
.tiles dt{color:var(--soft);font-size:.875rem}.tiles dd{margin:0;font-weight:600}\
.chart{display:block;width:100%;height:5rem;background:var(--card);border:1px solid var(--line);border-radius:6px;\
margin:.5rem 0}\
rect{fill:var(--bar)}.missing rect,rect.missing{fill:var(--bad)}line{stroke:var(--text);stroke-dasharray:4 4}\
.scroll{overflow-x:auto}.scroll+.scroll{margin-top:1rem}\
table{border-collapse:collapse;width:100%}\
caption{text-align:left;color:var(--soft);padding:.25rem 0}\
th,td{text-align:right;padding:.15rem .5rem;border-bottom:1px solid var(--line);white-space:nowrap}\
th:first-child,td:first-child,.left{text-align:left}\
tbody th{font-weight:400}thead th{color:var(--soft);font-weight:600}\
[aria-current=true] *{font-weight:600}\
tr:target{background:var(--card);outline:2px solid var(--bar)}\
.bar{width:40%;min-width:6rem}.bar svg{display:block;width:100%;height:.75rem}\
#distribution-shards .bar{width:85%}\
.hidden{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}\
.name{white-space:normal;text-align:left}\
form{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:end;background:var(--card);border:1px solid var(--line);\
border-radius:6px;padding:.75rem}\
label{display:block;color:var(--soft);font-size:.875rem}\
.grow{flex:1 1 20rem}\
input,select,button{font:inherit;color:inherit;background:var(--ground);border:1px solid var(--soft);border-radius:6px;\
padding:.35rem .6rem;max-width:100%;height:2.4rem}\
form div *{width:100%}\
button{cursor:pointer;font-weight:600}\
@media(max-width:40rem){.facts{grid-template-columns:1fr}.facts dd{margin-bottom:.35rem}.wide{display:none}\
th,td{padding:.15rem .25rem}thead th{white-space:normal;overflow-wrap:normal}}\
@media print{form,nav,.skip{display:none}}\
";
