'use strict';
const LISTS = ['master_list', 'agent_list', 'public_agent_list', 'resolvers'];
const form = document.getElementById('setup');
let shown = 'preflight';

async function call(method, path, body) {
  const reply = await fetch('/api/v1/' + path, {
    method,
    headers: body ? { 'Content-Type': 'application/json' } : {},
    body: body && JSON.stringify(body),
  });
  const value = await reply.json();
  if (reply.status === 401) notice(value.error);
  return { ok: reply.ok, value };
}

function notice(text) {
  const p = document.getElementById('notice');
  p.textContent = text;
  p.hidden = !text;
}

function fill(config) {
  for (const field of form.elements) {
    if (!field.name) continue;
    const value = config[field.name];
    field.value = value == null ? '' : LISTS.includes(field.name) && Array.isArray(value) ? value.join('\n') : value;
  }
}

function read() {
  const config = {};
  for (const field of form.elements) {
    if (!field.name) continue;
    if (LISTS.includes(field.name)) config[field.name] = field.value.split(/[\s,]+/).filter(Boolean);
    else if (field.name === 'ssh_port') config.ssh_port = Number(field.value) || field.value;
    else if (field.value || field.name === 'cluster_name') config[field.name] = field.value;
  }
  return config;
}

function showErrors(errors) {
  for (const field of form.elements) {
    if (!field.name) continue;
    const label = field.parentElement;
    label.classList.toggle('wrong', field.name in errors);
    label.querySelector('.why')?.remove();
    if (field.name in errors) {
      const why = document.createElement('span');
      why.className = 'why';
      why.textContent = errors[field.name];
      label.append(why);
    }
  }
  const elsewhere = Object.keys(errors).filter((name) => !form.elements[name]);
  notice(elsewhere.map((name) => name + ': ' + errors[name]).join('\n'));
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const saved = await call('POST', 'configure', read());
  if (!saved.ok) return showErrors(saved.value);
  const status = await call('GET', 'configure/status');
  showErrors(status.value);
  if (status.ok) notice('Saved. The configuration is complete.');
});

document.getElementById('actions').addEventListener('click', async (event) => {
  const action = event.target.dataset.action;
  if (!action) return;
  shown = action;
  const reply = await call('POST', 'action/' + action, event.target.dataset.retry ? { retry: true } : {});
  if (reply.value.errors) showErrors(reply.value.errors);
  else notice(reply.value.status || reply.value.error || '');
  refresh();
});

function cell(row, text, name) {
  const td = document.createElement('td');
  td.textContent = text;
  if (name) td.className = name;
  row.append(td);
  return td;
}

async function refresh() {
  const state = (await call('GET', 'action/' + shown)).value;
  const hosts = Object.entries(state.hosts || {});
  const count = (status) => hosts.filter(([, host]) => host.host_status === status).length;
  const failed = count('failed') + count('terminated');
  document.getElementById('summary').textContent = state.error
    ? shown + ': ' + state.error
    : `${shown}: ${hosts.length} hosts, ${count('success')} done, ${failed} failed`;
  document.getElementById('hosts').replaceChildren(...hosts.map(([name, host]) => {
    const row = document.createElement('tr');
    const last = host.commands[host.commands.length - 1];
    cell(row, name);
    cell(row, host.tags.dcos_install_param || host.tags.role);
    cell(row, host.host_status, host.host_status);
    cell(row, last ? last.stage + (last.stderr.length ? ': ' + last.stderr[last.stderr.length - 1] : '') : '');
    const link = document.createElement('a');
    link.href = '/download/log/' + name.replace(':', '_') + '.log';
    link.textContent = 'log';
    cell(row, '').append(link);
    return row;
  }));
  if (shown === 'postflight' && hosts.length && count('success') === hosts.length) {
    const reply = await call('GET', 'success');
    const link = document.getElementById('cluster');
    link.hidden = !reply.ok;
    if (reply.ok) link.href = reply.value.success;
  }
}

(async () => {
  document.getElementById('version').textContent = (await call('GET', 'version')).value.version;
  fill((await call('GET', 'configure')).value);
  const wrong = (await call('GET', 'configure/status')).value;
  if (!wrong.ssh_key) form.elements.ssh_key.placeholder = 'There is one; it is not shown. Leave empty to keep it.';
  shown = (await call('GET', 'action/current')).value.current_action || 'preflight';
  await refresh();
  setInterval(refresh, 2000);
})();
