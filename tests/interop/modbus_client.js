// usage: node modbus_client.js PORT UNIT '[["readInputRegisters", 0, 9], ["writeCoil", 0, true], ...]' [rtu]
// Carries the calls out one after the other and prints one JSON array with what each gave: data, or {"error": ...}.
'use strict'

const ModbusRTU = require('modbus-serial')

async function main([port, unit, calls, framing]) {
  const client = new ModbusRTU()
  const connect = framing === 'rtu' ? 'connectTelnet' : 'connectTCP'
  await client[connect]('127.0.0.1', { port: Number(port) })
  client.setID(Number(unit))
  client.setTimeout(2000)
  const said = []
  for (const [name, ...given] of JSON.parse(calls)) {
    try {
      const answer = await client[name](...given)
      said.push(answer.data === undefined ? answer : answer.data)
    } catch (error) {
      said.push({ error: error.message, code: error.modbusCode })
    }
  }
  await new Promise((resolve) => client.close(resolve))
  console.log(JSON.stringify(said))
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error)
  process.exit(1)
})
