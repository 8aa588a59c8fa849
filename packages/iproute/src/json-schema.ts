/**
 * The part of JSON Schema (draft 2020-12) that our published schemas use, and its check: everything that is
 * wrong with a value, each with its path and the rule.
 */

/** A schema, as far as we write any. */
export interface JsonSchema {
	readonly $schema?: string;
	readonly $id?: string;
	/** `#/$defs/NAME` of the same document, or `FILE#/$defs/NAME`, `FILE`. */
	readonly $ref?: string;
	readonly title?: string;
	readonly description?: string;
	readonly type?: string | readonly string[];
	readonly const?: unknown;
	readonly enum?: readonly unknown[];
	readonly pattern?: string;
	readonly minimum?: number;
	readonly maximum?: number;
	readonly maxItems?: number;
	readonly required?: readonly string[];
	readonly properties?: Readonly<Record<string, JsonSchema>>;
	readonly additionalProperties?: boolean | JsonSchema;
	readonly items?: JsonSchema;
	readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

/** Those above: a schema with another one would be checked by half. */
const KEYWORDS: ReadonlySet<string> = new Set([
	...['$schema', '$id', '$ref', '$defs', 'title', 'description', 'type', 'const', 'enum'],
	...['pattern', 'minimum', 'maximum', 'maxItems', 'required', 'properties', 'items'],
	'additionalProperties',
]);

/** What is wrong, where, and which rule says so. */
export interface SchemaFault {
	/** `states[2].sel.src`; empty for the document itself. */
	readonly path: string;
	readonly found: string;
	readonly expected: string;
	/** `state.schema.json#/properties/spi/pattern` */
	readonly rule: string;
}

function typeOf(value: unknown): string {
	if (value === null) {
		return 'null';
	}
	if (Array.isArray(value)) {
		return 'array';
	}
	return Number.isInteger(value) ? 'integer' : typeof value;
}

function shown(value: unknown): string {
	const text = typeof value === 'object' && value !== null ? typeOf(value) : JSON.stringify(value);
	return (text ?? 'nothing').slice(0, 60);
}

const patterns = new Map<string, RegExp>();

/** A pattern of a schema; there are few, and they are asked often. */
function patternOf(source: string): RegExp {
	const pattern = patterns.get(source) ?? new RegExp(source, 'u');
	patterns.set(source, pattern);
	return pattern;
}

/** Checks values against a set of schemas. */
export class SchemaChecker {
	readonly #schemas: ReadonlyMap<string, JsonSchema>;
	readonly #faults: SchemaFault[] = [];

	/**
	 * @param schemas by file name, which is what `$ref` says
	 * @throws RangeError when a schema says what is not checked here
	 */
	constructor(schemas: ReadonlyMap<string, JsonSchema>) {
		this.#schemas = schemas;
		for (const [file, schema] of schemas) {
			this.#refuseUnknown(schema, file);
		}
	}

	#refuseUnknown(schema: JsonSchema, file: string): void {
		const unknown = Object.keys(schema).find((keyword) => !KEYWORDS.has(keyword));
		if (unknown !== undefined) {
			throw new RangeError(`${file}: the keyword ${unknown} is not checked`);
		}
		if (schema.$ref !== undefined && this.#resolve(schema.$ref, file)[0] === undefined) {
			throw new RangeError(`${file}: ${schema.$ref} leads nowhere`);
		}
		const { properties, $defs, items, additionalProperties } = schema;
		const parts = [...Object.values({ ...properties }), ...Object.values({ ...$defs })];
		for (const part of [...parts, items, additionalProperties]) {
			if (typeof part === 'object') {
				this.#refuseUnknown(part, file);
			}
		}
	}

	/** All faults of a value, in order of the document. */
	check(value: unknown, file: string): readonly SchemaFault[] {
		this.#faults.length = 0;
		const schema = this.#schemas.get(file);
		if (schema !== undefined) {
			this.#value(value, schema, '', `${file}#`, file);
		}
		return [...this.#faults];
	}

	#resolve(ref: string, file: string): readonly [JsonSchema | undefined, string] {
		const [target = '', pointer = ''] = ref.split('#');
		const document = target === '' ? file : target;
		const name = pointer.replace('/$defs/', '');
		const root = this.#schemas.get(document);
		return [name === '' ? root : root?.$defs?.[name], document];
	}

	#fault(path: string, found: string, expected: string, rule: string): void {
		this.#faults.push({ path, found, expected, rule });
	}

	#value(value: unknown, schema: JsonSchema, path: string, rule: string, file: string): void {
		if (schema.$ref !== undefined) {
			const [target, document] = this.#resolve(schema.$ref, file);
			if (target !== undefined) {
				const where = schema.$ref.startsWith('#') ? `${document}${schema.$ref}` : schema.$ref;
				this.#value(value, target, path, where.includes('#') ? where : `${where}#`, document);
			}
			return;
		}
		const type = typeOf(value);
		const types = schema.type === undefined ? [] : [schema.type].flat();
		if (
			types.length > 0 &&
			!types.includes(type) &&
			!(type === 'integer' && types.includes('number'))
		) {
			this.#fault(path, shown(value), types.join(' or '), `${rule}/type`);
			return;
		}
		this.#scalar(value, schema, path, rule);
		if (Array.isArray(value)) {
			this.#array(value, schema, path, rule, file);
		} else if (type === 'object') {
			this.#object(value as Record<string, unknown>, schema, path, rule, file);
		}
	}

	#scalar(value: unknown, schema: JsonSchema, path: string, rule: string): void {
		if (schema.const !== undefined && value !== schema.const) {
			this.#fault(path, shown(value), JSON.stringify(schema.const), `${rule}/const`);
		}
		if (schema.enum !== undefined && !schema.enum.includes(value)) {
			const words = schema.enum.map((one) => JSON.stringify(one)).join(', ');
			this.#fault(path, shown(value), words, `${rule}/enum`);
		}
		if (typeof value === 'string' && schema.pattern !== undefined) {
			if (!patternOf(schema.pattern).test(value)) {
				this.#fault(path, shown(value), `text like ${schema.pattern}`, `${rule}/pattern`);
			}
		}
		if (typeof value === 'number') {
			if (schema.minimum !== undefined && value < schema.minimum) {
				this.#fault(path, shown(value), `at least ${schema.minimum}`, `${rule}/minimum`);
			}
			if (schema.maximum !== undefined && value > schema.maximum) {
				this.#fault(path, shown(value), `at most ${schema.maximum}`, `${rule}/maximum`);
			}
		}
	}

	#array(
		value: readonly unknown[],
		schema: JsonSchema,
		path: string,
		rule: string,
		file: string,
	): void {
		if (schema.maxItems !== undefined && value.length > schema.maxItems) {
			const found = `${value.length} items`;
			this.#fault(path, found, `at most ${schema.maxItems}`, `${rule}/maxItems`);
		}
		for (const [i, item] of value.entries()) {
			if (schema.items !== undefined) {
				this.#value(item, schema.items, `${path}[${i}]`, `${rule}/items`, file);
			}
		}
	}

	#object(
		value: Readonly<Record<string, unknown>>,
		schema: JsonSchema,
		path: string,
		rule: string,
		file: string,
	): void {
		const inside = (name: string): string => (path === '' ? name : `${path}.${name}`);
		for (const name of schema.required ?? []) {
			if (!Object.hasOwn(value, name)) {
				this.#fault(inside(name), 'nothing', `"${name}"`, `${rule}/required`);
			}
		}
		for (const [name, part] of Object.entries(value)) {
			const known = Object.hasOwn(schema.properties ?? {}, name)
				? schema.properties?.[name]
				: undefined;
			const other = schema.additionalProperties;
			if (known !== undefined) {
				this.#value(part, known, inside(name), `${rule}/properties/${name}`, file);
			} else if (other === false) {
				const names = Object.keys(schema.properties ?? {}).join(', ');
				this.#fault(inside(name), `"${name}"`, names, `${rule}/additionalProperties`);
			} else if (typeof other === 'object') {
				this.#value(part, other, inside(name), `${rule}/additionalProperties`, file);
			}
		}
	}
}
