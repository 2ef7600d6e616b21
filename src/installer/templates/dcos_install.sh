#!/bin/sh
# Installs DC/OS {{ dcos_version }} on this machine. Made by dcos_generate_config.sh; works with any POSIX shell.
set -u
umask 022
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

usage() {
    cat <<'END_OF_USAGE'
Usage: dcos_install.sh [OPTIONS] ROLE...

Installs DC/OS on this machine. ROLE is master, slave (a private agent) or slave_public (a public agent).

Options:
  -d, --disable-preflight   install without looking first whether the machine is fit
  -p, --preflight-only      only look; the exit status is the number of checks that failed
  --no-block-dcos-setup     do not wait until the packages are there
  -h, --help                this text
END_OF_USAGE
}

bootstrap_url={{ bootstrap_url | shell }}
bootstrap_id={{ bootstrap_id | shell }}
num_masters={{ num_masters | shell }}
mesos_work_dir={{ mesos_agent_work_dir | shell }}
check_time={{ check_time | shell }}
machine={{ installer_machine | shell }}
glibc_least={{ installer_glibc | shell }}
systemd_least=247
free_kib=1500000

failures=0
failed=

result() { # PASS|FAIL, what, why
    if [ "$1" = PASS ]; then
        printf 'Checking %s: PASS\n' "$2"
    else
        printf 'Checking %s: FAIL%s\n' "$2" "${3:+ ($3)}"
        failures=$((failures + 1))
        failed="$failed${failed:+, }${2#whether }${3:+: $3}"
    fi
}

# ---- preflight ----

# Versions of numbers and dots: whether $1 >= $2.
at_least() {
    a=$1. b=$2.
    while [ -n "$a$b" ]; do
        x=${a%%.*} y=${b%%.*}
        case $x in *[!0-9]*) x=${x%%[!0-9]*} ;; esac
        case $y in *[!0-9]*) y=${y%%[!0-9]*} ;; esac
        [ "${x:-0}" -gt "${y:-0}" ] && return 0
        [ "${x:-0}" -lt "${y:-0}" ] && return 1
        a=${a#*.} b=${b#*.}
    done
    return 0
}

check_existing() {
    found=
    for path in /etc/systemd/system/dcos.target /etc/systemd/system/dcos.target.wants; do
        [ ! -e "$path" ] || found=$path
    done
    if [ -z "$found" ] && [ -d /opt/mesosphere ] && [ -n "$(ls -A /opt/mesosphere)" ]; then
        found=/opt/mesosphere
    fi
    if [ -n "$found" ]; then
        # The folder comes when the tarball is unpacked, the marker goes when the cluster's packages are active.
        way=
        if [ -e /opt/mesosphere/bootstrap ] || [ ! -e /opt/mesosphere/active ]; then
            [ ! -e /etc/systemd/system/dcos-setup.service ] ||
                way=" It is not finished: 'systemctl start dcos-setup.service' goes on with it."
        fi
        echo "Found an existing DC/OS installation ($found).$way To reinstall DC/OS on this machine, uninstall it first." >&2
        exit 1
    fi
}

check_selinux() {
    mode=$(getenforce 2>/dev/null) || mode=
    policy=$(sed -n 's/^SELINUXTYPE=//p' /etc/selinux/config 2>/dev/null)
    if [ "$mode" = Enforcing ] && [ "$policy" != targeted ]; then
        result FAIL "whether SELinux lets DC/OS run" "it enforces the policy ${policy:-of unknown name}; permissive or targeted is needed"
    else
        result PASS "whether SELinux lets DC/OS run"
    fi
}

check_commands() {
    for name in curl tar xz unzip ip sed grep sha256sum systemctl systemd-notify useradd; do
        if command -v "$name" >/dev/null 2>&1; then
            result PASS "whether $name is there"
        else
            result FAIL "whether $name is there" "no such command"
        fi
    done
}

check_system() {
    got=$(uname -m)
    if [ "$got" = "$machine" ]; then
        result PASS "whether this is an $machine machine"
    else
        result FAIL "whether this is an $machine machine" "it is $got"
    fi
    got=$(getconf GNU_LIBC_VERSION 2>/dev/null)
    got=${got#glibc }
    if [ -n "$got" ] && at_least "$got" "$glibc_least"; then
        result PASS "whether glibc is $glibc_least or newer"
    else
        result FAIL "whether glibc is $glibc_least or newer" "${got:-no glibc}"
    fi
    got=$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
    if [ -n "$got" ] && at_least "$got" "$systemd_least"; then
        result PASS "whether systemd is $systemd_least or newer"
    else
        result FAIL "whether systemd is $systemd_least or newer" "${got:-no systemd}"
    fi
    if [ -d /run/systemd/system ]; then
        result PASS "whether systemd runs this machine"
    else
        result FAIL "whether systemd runs this machine" "/run/systemd/system is not there"
    fi
}

# The kernel has them, in either hierarchy.
check_cgroups() {
    have=
    if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
        read -r have </sys/fs/cgroup/cgroup.controllers
    fi
    if [ -r /proc/cgroups ]; then
        while read -r name _ _ enabled; do
            [ "$enabled" = 1 ] && have="$have $name"
        done </proc/cgroups
    fi
    for name in cpu memory pids; do
        case " $have " in
        *" $name "*) result PASS "whether there is the cgroup controller $name" ;;
        *) result FAIL "whether there is the cgroup controller $name" "switched off or not in this kernel" ;;
        esac
    done
    if grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null; then
        result PASS "whether there is the overlay file system"
    else
        result FAIL "whether there is the overlay file system" "not in this kernel"
    fi
}

# Sockets that listen, by the kernel's own tables: `port_user tcp 5050` prints one local address and succeeds.
port_user() {
    hex=$(printf %04X "$2")
    for table in "/proc/net/$1" "/proc/net/${1}6"; do
        [ -r "$table" ] || continue
        while read -r _ address _ state _; do
            case $1$state:$address in
            tcp0A:*:"$hex" | udp*:*:"$hex")
                # The stub of systemd-resolved and the like: our name server is on addresses of its own.
                if [ "$2" = 53 ]; then
                    case $address in ??????7F:* | 00000000000000000000000001000000:*) continue ;; esac
                fi
                echo "$address"
                return 0
                ;;
            esac
        done <"$table"
    done
    return 1
}

check_ports() { # tcp|udp, ports...
    protocol=$1
    shift
    for port in "$@"; do
        if port_user "$protocol" "$port" >/dev/null; then
            who=
            if command -v ss >/dev/null 2>&1; then
                option=t
                [ "$protocol" = tcp ] || option=u
                who=$(ss -Hlnp$option "sport = :$port" 2>/dev/null | sed -n '1s/.*users:(("\([^"]*\)".*/\1/p')
            fi
            result FAIL "whether port $port/$protocol is free" "in use${who:+ by $who}"
        else
            result PASS "whether port $port/$protocol is free"
        fi
    done
}

check_disk() {
    for path in /opt /var/lib /tmp; do
        got=$(df -Pk "$path" 2>/dev/null | {
            read -r _
            read -r _ _ _ available _
            echo "$available"
        })
        need=$free_kib
        [ "$path" = /opt ] || need=$((free_kib / 10))
        if [ -n "$got" ] && [ "$got" -ge "$need" ]; then
            result PASS "whether $path has room"
        else
            result FAIL "whether $path has room" "${got:-0} KiB free, $need are needed"
        fi
    done
}

check_xfs() {
    path=$mesos_work_dir
    while [ -n "$path" ] && [ ! -d "$path" ]; do path=${path%/*}; done
    path=${path:-/}
    [ "$(stat -f -c %T "$path" 2>/dev/null)" = xfs ] || return 0
    if xfs_info "$path" 2>/dev/null | grep -q 'ftype=1'; then
        result PASS "whether XFS below $mesos_work_dir has ftype=1"
    else
        result FAIL "whether XFS below $mesos_work_dir has ftype=1" "images cannot be unpacked there"
    fi
}

check_clock() {
    [ "$check_time" = true ] || return 0
    got=$(timedatectl show -p NTPSynchronized --value 2>/dev/null)
    if [ "$got" = yes ]; then
        result PASS "whether the clock is kept in time"
    else
        result FAIL "whether the clock is kept in time" "not synchronised; DC/OS would wait for it"
    fi
}

check_source() {
    case $bootstrap_url in
    http://* | https://*)
        if why=$(curl -fsSI -o /dev/null --max-time 30 "$bootstrap_url/bootstrap/$bootstrap_id.bootstrap.tar.xz" 2>&1); then
            result PASS "whether $bootstrap_url can be reached"
        else
            result FAIL "whether $bootstrap_url can be reached" "$(echo "$why" | sed 's/^curl: ([0-9]*) //;q')"
        fi
        ;;
    file://*)
        path=${bootstrap_url#file://}
        if [ "$1" = install ] && [ ! -r "$path/bootstrap/$bootstrap_id.bootstrap.tar.xz" ]; then
            result FAIL "whether $path holds what is to be installed" "$bootstrap_id.bootstrap.tar.xz is not in $path/bootstrap"
        fi
        ;;
    esac
}

# They are not among what anybody can fetch: --deploy of the installer brings them.
check_secrets() {
    secrets=/etc/mesosphere/secrets
    if [ -f $secrets/dcos-ca.crt ] && [ -f $secrets/dcos-ca.key ] && [ -f $secrets/zk_master_credentials ]; then
        result PASS "whether the cluster's secrets are there"
    else
        echo "Checking whether the cluster's secrets are there: WARNING (copy genconf/secrets of the installer's machine to $secrets of each master, files 0600 and root's, before this; without them ZooKeeper is open to everybody and each master signs for itself)"
    fi
}

check_users() {
    [ -e /etc/mesosphere/manual_host_users ] || return 0
    for name in $1; do
        if id -u "$name" >/dev/null 2>&1; then
            result PASS "whether user $name is there"
        else
            result FAIL "whether user $name is there" "/etc/mesosphere/manual_host_users says that users are made by hand"
        fi
    done
}

check_roles() {
    [ $# -gt 0 ] || result FAIL "the role" "none was given"
    for role in "$@"; do
        case $role in
        master | slave | slave_public) result PASS "role $role" ;;
        *) result FAIL "role $role" "master, slave and slave_public are known" ;;
        esac
    done
    case " $* " in
    *" slave "*" slave_public "* | *" slave_public "*" slave "* | *" master "*" slave"* | *" slave"*" master "*)
        result FAIL "roles $*" "a machine has one"
        ;;
    esac
}

preflight() { # install|look, roles...
    what=$1
    shift
    check_existing
    check_roles "$@"
    check_selinux
    check_commands
    check_system
    check_cgroups
    case " $* " in
    *" slave "* | *" slave_public "*)
        check_ports tcp 53 5051 61001 62080
        check_ports udp 53 64000
        check_xfs
        ;;
    *)
        check_ports tcp 53 80 443 5050 8080 8101 8123 62080
        [ "$num_masters" = 1 ] || check_ports tcp 2181 2888 3888 8102 8181
        # Over SSH they come after this look.
        [ "$num_masters" = 1 ] || [ "$what" = look ] || check_secrets
        check_ports udp 53 64000
        ;;
    esac
    # All packages go to all nodes, and bring their users.
    check_users "dcos_adminrouter dcos_bouncer dcos_check_runner dcos_marathon dcos_mesos"
    [ "$num_masters" = 1 ] || check_users dcos_exhibitor
    check_disk
    check_clock
    check_source "$what"
    # One line says it all, for whoever looks at many hosts.
    [ "$failures" -eq 0 ] || printf 'not so (%s): %s\n' "$failures" "$failed" >&2
    # An exit status has eight bits.
    [ "$failures" -le 250 ] || failures=250
    return "$failures"
}

# ---- installing ----

die() {
    echo "dcos_install.sh: $*" >&2
    exit 1
}

write_file() { # path, mode, contents to the byte
    mkdir -p "${1%/*}" || die "cannot make ${1%/*}"
    # Nobody else reads it before it has its mode.
    (rm -f "$1.dcos-tmp" && umask 077 && printf %s "$3" >"$1.dcos-tmp") || die "cannot write $1"
    chmod "$2" "$1.dcos-tmp" && mv -f "$1.dcos-tmp" "$1" || die "cannot write $1"
}

write_files() {
    :
{{ installer_write_files }}
}

write_units() {
    :
{{ installer_write_units }}
}

start_units() { # "" or --no-block, for dcos-setup
{{ installer_start_units }}
}

# A unit that does not start says why in the journal; what systemd itself says there is no reason.
start_unit() {
    if ! systemctl start "$@"; then
        for unit; do :; done
        said=$(journalctl -q -n 30 --no-pager -o cat -u dcos-download.service -u "$unit" 2>/dev/null)
        printf '%s\n' "$said" >&2
        why=$(printf '%s\n' "$said" |
            sed '/^dcos-[a-z-]*\.service: /d;/^Start/d;/^Finished /d;/^Failed to start /d;/^Dependency failed /d' | tail -n 1)
        die "$unit did not start${why:+: $why}"
    fi
}

install_dcos() {
    no_block=$1
    shift
    echo "Installing DC/OS as $*"
    mkdir -p /etc/mesosphere/roles /etc/mesosphere/setup-flags || die "cannot make /etc/mesosphere"
    for role in "$@"; do
        : >"/etc/mesosphere/roles/$role" || die "cannot write /etc/mesosphere/roles/$role"
    done
    write_files
    write_units
    sync
    systemctl daemon-reload || die "systemd does not reload"
    # Settings of the journal may be among the files.
    systemctl try-restart systemd-journald.service
    start_units "$no_block"
    echo "DC/OS is installed; its services start now"
}

main() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "dcos_install.sh must be run as root" >&2
        exit 1
    fi
    look=true only=false no_block= roles=
    while [ $# -gt 0 ]; do
        case $1 in
        -d | --disable-preflight) look=false ;;
        -p | --preflight-only) only=true ;;
        --no-block-dcos-setup) no_block=--no-block ;;
        -h | --help)
            usage
            exit 1
            ;;
        --)
            shift
            roles="$roles $*"
            break
            ;;
        -*)
            echo "dcos_install.sh: unknown option $1" >&2
            usage >&2
            exit 1
            ;;
        *) roles="$roles $1" ;;
        esac
        shift
    done
    set -f
    # shellcheck disable=SC2086
    set -- $roles
    if $only; then
        preflight look "$@"
        exit $?
    fi
    if [ $# -eq 0 ]; then
        echo "No role was given" >&2
        usage >&2
        exit 1
    fi
    if $look; then
        preflight install "$@" || exit $?
    else
        check_roles "$@" >/dev/null
        [ "$failures" -eq 0 ] || die "the role is one of master, slave and slave_public"
    fi
    install_dcos "$no_block" "$@"
}

main "$@"
