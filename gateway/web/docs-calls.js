// The same call in the words of four tools. Values are those of the form, so that what is tried can be pasted.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const LINE = " \\\n  ";

// A call as the form says it: `query` and `headers` are pairs, `body` an object or null, `file` whether a form brings one.
export function address({ path, parts, query }) {
  const place = path.replace(/\{(\w+)\}/g, (whole, name) => (parts[name] ? encodeURIComponent(parts[name]) : whole));
  const asked = new URLSearchParams(query).toString();
  return asked ? `${place}?${asked}` : place;
}

function curl(call) {
  const lines = [`curl -sS${call.streams ? "N" : ""} -X ${call.verb.toUpperCase()} ${quoted(location.origin + address(call))}`];
  if (call.token) lines.push(`-H "Authorization: Bearer $TOKEN"`);
  for (const [name, value] of call.headers) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (call.body) lines.push(`-H 'Content-Type: application/json'`, `-d ${quoted(JSON.stringify(call.body))}`);
  if (call.file) lines.push(`-F file=@hum.wav`);
  return lines.join(LINE);
}

function javascript(call) {
  const headers = Object.fromEntries([...(call.token ? [["Authorization", "Bearer ${token}"]] : []), ...call.headers, ...(call.body ? [["Content-Type", "application/json"]] : [])]);
  const shown = JSON.stringify(headers, null, 2).replaceAll('"Bearer ${token}"', "`Bearer ${token}`").replaceAll("\n", "\n  ");
  const lines = [`const answer = await fetch(${JSON.stringify(location.origin + address(call))}, {`, `  method: ${JSON.stringify(call.verb.toUpperCase())},`, `  headers: ${shown},`];
  if (call.body) lines.push(`  body: JSON.stringify(${JSON.stringify(call.body)}),`);
  if (call.file) lines.push("  body: form, // a FormData with the field `file`");
  lines.push("});", call.streams ? "for await (const part of answer.body.pipeThrough(new TextDecoderStream())) console.log(part);" : "console.log((await answer.json()).data);");
  return lines.join("\n");
}

const literal = (value) => JSON.stringify(value).replace(/"(?:[^"\\]|\\.)*"|\btrue\b|\bfalse\b|\bnull\b/g, (part) => ({ true: "True", false: "False", null: "None" })[part] ?? part);

function python(call) {
  const headers = [...(call.token ? ['"Authorization": f"Bearer {token}"'] : []), ...call.headers.map(([name, value]) => `${literal(name)}: ${literal(value)}`)];
  const lines = ["import aiohttp", "", "async with aiohttp.ClientSession() as session:", `    url = ${literal(location.origin + address(call))}`];
  const extra = [headers.length ? `headers={${headers.join(", ")}}` : "", call.body ? `json=${literal(call.body)}` : "", call.file ? 'data={"file": open("hum.wav", "rb")}' : ""].filter(Boolean);
  lines.push(`    async with session.request(${[literal(call.verb.toUpperCase()), "url", ...extra].join(", ")}) as answer:`);
  lines.push(...(call.streams ? ["        async for line in answer.content:", "            print(line.decode(), end=\"\")"] : ['        print((await answer.json())["data"])']));
  return lines.join("\n");
}

// By gRPC the path, the query and the body are one message; request ids travel in it, not in a header.
function buf(call) {
  const message = { ...call.parts, ...Object.fromEntries(call.query.filter(([name]) => name !== "fields" && name !== "access_token")), ...call.body };
  return grpcCall({ token: call.token, message: call.file ? null : message, method: call.method });
}

export function grpcCall({ token, message, method }) {
  const lines = ["buf curl --protocol grpc --http2-prior-knowledge"];
  if (token) lines.push(`-H "Authorization: Bearer $TOKEN"`);
  if (message) lines.push(`-d ${quoted(JSON.stringify(message))}`);
  lines.push(`"http://$EDGE/${method}"`);
  return lines.join(LINE);
}

export const TOOLS = { curl, JavaScript: javascript, Python: python, "buf curl": buf };
