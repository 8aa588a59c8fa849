/** `npm run schemas`: writes the JSON Schemas of packages/iproute/src/json-schemas.ts to its folder schema/. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SCHEMAS } from '@xfrm/iproute';

const folder = fileURLToPath(new URL('../packages/iproute/schema/', import.meta.url));
mkdirSync(folder, { recursive: true });
for (const [name, schema] of SCHEMAS) {
	writeFileSync(`${folder}${name}`, `${JSON.stringify(schema, undefined, '\t')}\n`);
}
