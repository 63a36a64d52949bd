-- ${domain} on loopback: clients with TLS and SCRAM, a websocket, uploads, components, nothing else.
run_as_root = true
daemonize = false
pidfile = "${folder}/prosody.pid"
data_path = "${folder}/data"
certificates = "${folder}"
plugin_paths = {}
modules_enabled = { "saslauth", "tls", "roster", "disco", "blocklist", "websocket" }
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
http_ports = {}
http_interfaces = { "127.0.0.1" }
https_ports = { ${http_port} }
https_interfaces = { "127.0.0.1" }
https_ssl = { key = "${certificate}", certificate = "${certificate}", protocol = "${protocol}" }
http_default_host = "${domain}"

authentication = "internal_hashed"
password_hash = "SHA-256"
c2s_require_encryption = true

VirtualHost "${domain}"
  ssl = { key = "${certificate}", certificate = "${certificate}", protocol = "${protocol}" }

Component "upload.${domain}" "http_file_share"
  http_host = "${http_host}"
  http_external_url = "https://${http_host}:${http_port}/"
  http_file_share_size_limit = ${upload_limit}
  http_file_share_daily_quota = ${upload_quota}

Component "rooms.${domain}" "muc"

${components}
