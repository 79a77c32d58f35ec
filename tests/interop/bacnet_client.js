// usage: node bacnet_client.js OWN_PORT ADDRESS '[["who"], ["read", 59, 1, 458], ["many", 59, 1, [458, 463]],
//                                                ["write", 54, 1, 85, 4, 72, 8], ["cov", 54, 1], ["told"], ...]'
// Carries the calls out one after the other and prints one JSON array with what each gave: a value, a list of values, or
// {"error": ...}. `write` has object, instance, property, application tag, value and priority; `cov`
// subscribes for a minute, `told` waits for the next notification and gives its values by property.
'use strict'

const { default: Client } = require('@bacnet-js/client')

function plain(values) {
  const found = values.map((each) => (each && typeof each === 'object' && 'value' in each ? each.value : each))
  return found.length === 1 ? found[0] : found
}

function who(client, receiver) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('no I-Am')), 2000)
    client.once('iAm', (message) => {
      clearTimeout(late)
      resolve(message.payload)
    })
    client.whoIs(receiver)
  })
}

const told = []
const waiting = []

function listen(client) {
  client.on('covNotifyUnconfirmed', ({ payload }) => {
    const values = payload.values.map((each) => [each.property.id, plain(each.value)])
    if (waiting.length) waiting.shift()(values)
    else told.push(values)
  })
}

function next() {
  if (told.length) return told.shift()
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('no notification')), 10000)
    waiting.push((values) => {
      clearTimeout(late)
      resolve(values)
    })
  })
}

async function call(client, receiver, [name, type, instance, property, tag, value, priority]) {
  const object = { type, instance }
  if (name === 'who') return who(client, receiver)
  if (name === 'told') return next()
  if (name === 'cov') {
    await client.subscribeCov(receiver, object, 7, false, false, 60, {})
    return null
  }
  if (name === 'read') return plain((await client.readProperty(receiver, object, property, {})).values)
  if (name === 'many') {
    const asked = [{ objectId: object, properties: property.map((id) => ({ id })) }]
    const answer = await client.readPropertyMultiple(receiver, asked, {})
    return answer.values[0].values.map((each) => plain(each.value))
  }
  await client.writeProperty(receiver, object, property, [{ type: tag, value }], { priority })
  return null
}

async function main([port, address, calls]) {
  const settings = { interface: '127.0.0.1', broadcastAddress: '127.255.255.255', apduTimeout: 2000 }
  const client = new Client({ port: Number(port), ...settings })
  await new Promise((resolve) => client.once('listening', resolve))
  listen(client)
  const said = []
  for (const each of JSON.parse(calls)) {
    try {
      said.push(await call(client, { address }, each))
    } catch (error) {
      said.push({ error: error.message })
    }
  }
  client.close()
  console.log(JSON.stringify(said))
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(1)
})
