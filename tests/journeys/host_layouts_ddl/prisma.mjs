// Prisma's own schema engine, as WebAssembly: what Prisma sees of a database, the DDL it writes.
//
//   node prisma.mjs ddl <url> <schema.prisma>      print the DDL for an empty database
//   node prisma.mjs introspect <url> <schema>...   print the schema.prisma that Prisma reads
//   node prisma.mjs drift <url> <schema.prisma>    print what differs; exit code 2 if anything

import { readFileSync } from 'node:fs'
import * as bindings from './node_modules/@prisma/schema-engine-wasm/schema_engine_bg.js'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'

const [verb, ...rest] = process.argv.slice(2)
const url = rest.shift()

// The adapter has no mapping for PostgreSQL's type "char" (oid 18), which the catalog is full of.
const CHAR = 18, TEXT = 25, CHARACTER = 6
function seeing(adapter) {
  const performIO = adapter.performIO.bind(adapter)
  const queryRaw = adapter.queryRaw.bind(adapter)
  let columns = []
  adapter.performIO = async (query) => {
    const result = await performIO(query)
    columns = []
    for (const [number, field] of result.fields.entries())
      if (field.dataTypeID === CHAR) { field.dataTypeID = TEXT; columns.push(number) }
    return result
  }
  adapter.queryRaw = async (query) => {
    const result = await queryRaw(query)
    for (const number of columns) result.columnTypes[number] = CHARACTER
    return result
  }
  return adapter
}
class Factory extends PrismaPg {
  async connect() { return seeing(await super.connect()) }
  async connectToShadowDb() { return seeing(await super.connectToShadowDb()) }
}

const engineFolder = new URL('./node_modules/@prisma/schema-engine-wasm/', import.meta.url)
const wasm = readFileSync(new URL('schema_engine_bg.wasm', engineFolder))
const { instance } = await WebAssembly.instantiate(wasm, { './schema_engine_bg.js': bindings })
bindings.__wbg_set_wasm(instance.exports)
instance.exports.__wbindgen_start()

async function engineOf(text) {
  const factory = bindMigrationAwareSqlAdapterFactory(new Factory({ connectionString: url }))
  return bindings.SchemaEngine.new({ datamodels: [['schema.prisma', text]] }, () => {}, factory)
}

async function difference(from, to, options) {
  const engine = await engineOf(readFileSync(rest[0], 'utf8'))
  const filters = { externalTables: [], externalEnums: [] }
  const found = await engine.diff({ from, to, shadowDatabaseUrl: null, filters, ...options })
  console.log(found.stdout ?? '')
  return found.exitCode
}

async function introspected(content) {
  const engine = await engineOf(content)
  const files = [{ path: 'schema.prisma', content }]
  const found = await engine.introspect({
    schema: { files }, force: true, compositeTypeDepth: -1,
    baseDirectoryPath: '.', viewsDirectoryPath: './views',
  })
  return found.schema.files.map((file) => file.content).join('\n')
}

const read = () => [{ path: 'schema.prisma', content: readFileSync(rest[0], 'utf8') }]
if (verb === 'ddl') {
  const to = { tag: 'schemaDatamodel', files: read() }
  await difference({ tag: 'empty' }, to, { script: true, exitCode: null })
} else if (verb === 'introspect') {
  const schemas = rest.map((name) => JSON.stringify(name)).join(', ')
  const head = `datasource db {\n  provider = "postgresql"\n  schemas = [${schemas}]\n}\n`
  console.log(await introspected(head))
} else if (verb === 'drift') {
  const files = read()
  const from = { tag: 'schemaDatamodel', files }
  const to = { tag: 'schemaDatasource', files, configDir: '.' }
  process.exit(await difference(from, to, { script: false, exitCode: true }))
}
process.exit(0)
