-- ${domain} on loopback: clients with TLS and SCRAM, components, nothing else.
run_as_root = true
daemonize = false
pidfile = "${folder}/prosody.pid"
data_path = "${folder}/data"
certificates = "${folder}"
plugin_paths = {}
modules_enabled = { "saslauth", "tls" }
modules_disabled = { "s2s", "offline" }
log = { info = "*console" }

c2s_interfaces = { "127.0.0.1" }
component_interfaces = { "127.0.0.1" }
c2s_ports = { ${client_port} }
c2s_direct_tls_ports = { ${direct_port} }
c2s_direct_tls_interfaces = { "127.0.0.1" }
c2s_direct_tls_ssl = { key = "${certificate}", certificate = "${certificate}", protocol = "${protocol}" }
component_ports = { ${component_port} }
s2s_ports = {}

authentication = "internal_hashed"
password_hash = "SHA-256"
c2s_require_encryption = true

VirtualHost "${domain}"
  ssl = { key = "${certificate}", certificate = "${certificate}", protocol = "${protocol}" }

${components}
