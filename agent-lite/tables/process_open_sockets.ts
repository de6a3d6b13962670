// Sockets of all network namespaces and who holds them. When a pid is asked for, only its descriptors and its namespace
// are read; -1 stands for sockets that no process holds and asks for all, as in osquery.
import { processIds } from '../sources/procfs.ts'
import { openSockets } from '../sources/sockets.ts'
import { defineTable } from './define.ts'

export const processOpenSockets = defineTable({
  name: 'process_open_sockets',
  about: 'Processes which have open network sockets on the system.',
  origin: 'osquery',
  columns: {
    pid: { type: 'INTEGER', about: 'Process id, -1 when no process holds the socket', additional: true },
    fd: { type: 'BIGINT', about: 'File descriptor in that process, or -1' },
    socket: { type: 'BIGINT', about: 'Inode of the socket; 0 when the process has closed it' },
    family: { type: 'INTEGER', about: 'Address family: 1 unix, 2 IPv4, 10 IPv6, 17 packet' },
    protocol: { type: 'INTEGER', about: 'Protocol number: 6 TCP, 17 UDP, 255 raw' },
    local_address: { type: 'TEXT', about: 'Own address' },
    remote_address: { type: 'TEXT', about: "Peer's address" },
    local_port: { type: 'INTEGER', about: 'Own port' },
    remote_port: { type: 'INTEGER', about: "Peer's port, 0 when there is none" },
    path: { type: 'TEXT', about: 'Path of a unix socket; @ starts an abstract name' },
    state: { type: 'TEXT', about: 'TCP state; NONE for packet sockets' },
    net_namespace: { type: 'TEXT', about: 'Inode of the network namespace' },
  },
  examples: [
    'SELECT p.name, s.remote_address, s.remote_port FROM processes p JOIN process_open_sockets s USING (pid)',
    "SELECT * FROM process_open_sockets WHERE state = 'ESTABLISHED' AND local_port IN (102, 502)",
  ],
  *read(context) {
    const asked = context.equals('pid')
    const isFiltered = asked.length > 0 && !asked.includes('-1')
    const sockets = openSockets(context, {
      pids: processIds(context.device, isFiltered ? asked : []),
      withOrphans: !isFiltered,
      withOwners: isFiltered || context.isUsed('pid') || context.isUsed('fd'),
    })
    for (const socket of sockets)
      yield {
        pid: socket.pid,
        fd: socket.fd,
        socket: socket.inode,
        family: socket.family,
        protocol: socket.protocol,
        local_address: socket.localAddress,
        remote_address: socket.remoteAddress,
        local_port: socket.localPort,
        remote_port: socket.remotePort,
        path: socket.path,
        state: socket.state,
        net_namespace: socket.namespace,
      }
  },
})
