// Sockets that wait for others, derived as osquery derives them: IP sockets without a peer, named unix sockets, and every
// packet socket. An unconnected UDP client counts as well.
import { processIds } from '../sources/procfs.ts'
import { family, openSockets } from '../sources/sockets.ts'
import { defineTable } from './define.ts'

export const listeningPorts = defineTable({
  name: 'listening_ports',
  about: 'Processes with listening (bound) network sockets/ports.',
  origin: 'osquery',
  cacheable: true,
  columns: {
    pid: { type: 'INTEGER', about: 'Process id, -1 when no process holds the socket' },
    port: { type: 'INTEGER', about: 'Port; 0 for unix sockets' },
    protocol: { type: 'INTEGER', about: 'Protocol number: 6 TCP, 17 UDP, 255 raw' },
    family: { type: 'INTEGER', about: 'Address family: 1 unix, 2 IPv4, 10 IPv6, 17 packet' },
    address: { type: 'TEXT', about: 'Own address; NULL for unix sockets' },
    fd: { type: 'BIGINT', about: 'File descriptor in the process, or -1' },
    socket: { type: 'BIGINT', about: 'Inode of the socket; 0 for unix sockets' },
    path: { type: 'TEXT', about: 'Path of a unix socket' },
    net_namespace: { type: 'TEXT', about: 'Inode of the network namespace' },
  },
  examples: [
    "SELECT DISTINCT p.name, l.port, l.address FROM listening_ports l JOIN processes p USING (pid) WHERE l.address = '0.0.0.0'",
  ],
  *read(context) {
    const sockets = openSockets(context, {
      pids: processIds(context.device, []),
      withOrphans: true,
      withOwners: context.isUsed('pid') || context.isUsed('fd'),
    })
    for (const socket of sockets) {
      const isUnix = socket.family === family.unix
      if (isUnix ? socket.path === '' : socket.remotePort !== 0) continue
      yield {
        pid: socket.pid,
        port: socket.localPort,
        protocol: socket.protocol,
        family: socket.family,
        address: isUnix ? null : socket.localAddress,
        fd: socket.fd,
        socket: isUnix ? 0 : socket.inode,
        path: isUnix ? socket.path : null,
        net_namespace: socket.namespace,
      }
    }
  },
})
