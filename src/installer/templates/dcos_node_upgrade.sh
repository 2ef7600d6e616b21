#!/bin/sh
# Takes this node to DC/OS {{ dcos_version }}, with the configuration that the packages below hold, or back. Made by dcos_generate_config.sh; works with any POSIX shell.
set -u
umask 022
LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

usage() {
    cat <<'END_OF_USAGE'
Usage: dcos_node_upgrade.sh [OPTIONS]

Changes the packages of this DC/OS node in place, when the node is healthy, and waits until it is healthy again.

Options:
  --skip-checks   do not look at the node's health before
  --rollback      go back to the packages before the last change
  -v, --verbose   show what is done
  -h, --help      this text
END_OF_USAGE
}

from_version={{ installed_cluster_version | shell }} # empty: any
bootstrap_url={{ bootstrap_url | shell }}
package_list={{ cluster_package_list_id | shell }}
packages={{ installer_cluster_packages | shell }}
root=/opt/mesosphere
health_seconds=300

die() {
    echo "dcos_node_upgrade.sh: $*" >&2
    exit 1
}

say() { echo "$*"; }

active_packages() { "$root/bin/pkgpanda" active 2>/dev/null; }

node_version() { sed -n 's/^.*"version": *"\([^"]*\)".*$/\1/p' "$root/etc/dcos-version.json" 2>/dev/null | sed 1q; }

find_role() {
    set -- /etc/mesosphere/roles/*
    roles=
    for path; do
        case ${path##*/} in master | slave | slave_public) roles="$roles ${path##*/}" ;; esac
    done
    case $roles in
    ' master') check_role=master ;;
    ' slave' | ' slave_public') check_role=agent ;;
    *) die "one of the files master, slave and slave_public is needed in /etc/mesosphere/roles, found:${roles:- none}" ;;
    esac
}

run_check() { # type
    "$root/bin/dcos-shell" dcos-check-runner check "$1" --role="$check_role"
}

check_health() { # prints what is wrong
    for type in node-poststart cluster; do
        if ! found=$(run_check "$type" 2>&1); then
            printf '%s checks failed:\n%s\n' "$type" "$found"
            return 1
        fi
    done
}

# A part that has just started may need a while.
wait_for_health() {
    say "Waiting until the node is healthy"
    left=$health_seconds
    until trouble=$(check_health); do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then
            echo "$trouble" >&2
            die "the node is not healthy after $health_seconds tries; dcos_node_upgrade.sh --rollback takes the change back"
        fi
        sleep 1
    done
    say "The node is healthy"
}

# What a node that is installed anew, or was not quite set up, would fetch.
write_flags() {
    for pair in "repository-url=$bootstrap_url" "cluster-package-list=$package_list"; do
        path=/etc/mesosphere/setup-flags/${pair%%=*}
        [ ! -e "$path.before-upgrade" ] || [ "$1" = back ] || [ "$(cat "$path")" = "${pair#*=}" ] || rm -f "$path.before-upgrade"
        if [ "$1" = back ]; then
            [ ! -e "$path.before-upgrade" ] || mv -f "$path.before-upgrade" "$path"
        else
            if [ ! -e "$path.before-upgrade" ] && [ -e "$path" ]; then
                cp -p "$path" "$path.before-upgrade" || die "cannot write $path"
            fi
            printf '%s\n' "${pair#*=}" >"$path.dcos-tmp" && mv -f "$path.dcos-tmp" "$path" || die "cannot write $path"
        fi
    done
}

upgrade() { # whether to look before
    # shellcheck disable=SC2086
    wanted=$(printf '%s\n' $packages | sort)
    if [ "$(active_packages | sort)" = "$wanted" ]; then
        say "These packages are active already"
        wait_for_health
        return
    fi
    version=$(node_version)
    [ -z "$from_version" ] || [ "$version" = "$from_version" ] ||
        die "this script is for nodes of version $from_version, and this one has ${version:-none}"
    if $1; then
        trouble=$(check_health) || {
            echo "$trouble" >&2
            die "the node is not healthy, nothing was changed; --skip-checks does it all the same"
        }
    fi
    say "Fetching packages"
    # shellcheck disable=SC2086
    "$root/bin/pkgpanda" fetch --repository-url="$bootstrap_url" $packages >&2 ||
        die "packages cannot be fetched, nothing was changed"
    say "Changing packages"
    write_flags forth
    # shellcheck disable=SC2086
    "$root/bin/pkgpanda" activate --no-block-systemd $packages ||
        die "packages could not be changed"
    wait_for_health
}

rollback() {
    # shellcheck disable=SC2086
    wanted=$(printf '%s\n' $packages | sort)
    if [ "$(active_packages | sort)" != "$wanted" ]; then
        say "The packages of this script are not active: nothing to take back"
        wait_for_health
        return
    fi
    say "Going back to the packages before"
    "$root/bin/pkgpanda" rollback --no-block-systemd || die "there is no way back"
    write_flags back
    wait_for_health
}

main() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "dcos_node_upgrade.sh must be run as root" >&2
        exit 1
    fi
    look=true back=false
    while [ $# -gt 0 ]; do
        case $1 in
        --skip-checks) look=false ;;
        --rollback) back=true ;;
        -v | --verbose) set -x ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            echo "dcos_node_upgrade.sh: unknown argument $1" >&2
            usage >&2
            exit 1
            ;;
        esac
        shift
    done
    [ -x "$root/bin/pkgpanda" ] || die "there is no DC/OS on this machine"
    find_role
    if $back; then
        rollback
    else
        upgrade "$look"
    fi
}

main "$@"
