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
# What is fetched, to the byte.
digests={{ installer_digests | shell }}
flags=/etc/mesosphere/setup-flags
root=/opt/mesosphere
health_seconds=300

die() {
    echo "dcos_node_upgrade.sh: $*" >&2
    exit 1
}

say() { echo "$*"; }

# Also while a change that was cut off has left it under the name that it is staged with.
pkgpanda() (
    bin=$root/bin
    [ -e "$bin" ] || bin=$root/bin.new
    if [ ! -e "$root/lib" ]; then
        LD_LIBRARY_PATH=$root/lib.new
        export LD_LIBRARY_PATH
    fi
    exec "$bin/pkgpanda" "$@"
)

active_packages() { pkgpanda active 2>/dev/null; }

# A change of packages that was cut off is finished first, as at boot; forth or back is seen then.
finish_change() {
    [ -e "$root/install_progress" ] || return 0
    say "Finishing a change that was cut off"
    pkgpanda setup --no-block-systemd || die "the change that was cut off cannot be finished"
}

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

# ---- what a node that is installed anew, or was not quite set up, would fetch ----
#
# Flags are files. What they were before the change to this package list is beside them, under its name, until it is taken
# back or another change begins; an empty file means that there was none. Every step may be the last, and be done again.

each_flag() { # command
    "$1" "$flags/repository-url" "$bootstrap_url"
    "$1" "$flags/cluster-package-list" "$package_list"
    "$1" "$flags/digests" "$digests"
}

on_disk() { sync "$1" 2>/dev/null || sync; }

# A power cut leaves the file before or this one, and none that is empty, which says something else.
put_file() { # path, text
    printf '%s\n' "$2" >"$1.dcos-tmp" && on_disk "$1.dcos-tmp" && mv -f "$1.dcos-tmp" "$1" || die "cannot write $1"
}

flag_forth() { # path, value
    kept=$1.before-$package_list
    if [ ! -e "$kept" ]; then
        if [ -e "$1" ]; then
            cp -p "$1" "$1.dcos-tmp" && on_disk "$1.dcos-tmp" && mv -f "$1.dcos-tmp" "$kept" || die "cannot write $kept"
        else
            : >"$kept" && on_disk "$kept" || die "cannot write $kept"
        fi
    fi
    put_file "$1" "$2"
    for path in "$1".before-*; do
        [ "$path" = "$kept" ] || rm -f "$path"
    done
}

flag_back() { # path
    kept=$1.before-$package_list
    if [ -s "$kept" ]; then
        mv -f "$kept" "$1" || die "cannot write $1"
    elif [ -e "$kept" ]; then
        rm -f "$1" && rm -f "$kept" || die "cannot remove $1"
    fi
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
    put_file "$flags/digests.new" "$digests"
    # shellcheck disable=SC2086
    pkgpanda fetch --repository-url="$bootstrap_url" --digests="$flags/digests.new" $packages >&2 ||
        die "packages cannot be fetched, nothing was changed"
    rm -f "$flags/digests.new"
    say "Changing packages"
    each_flag flag_forth
    # shellcheck disable=SC2086
    pkgpanda activate --no-block-systemd $packages ||
        die "packages could not be changed"
    wait_for_health
}

rollback() {
    # shellcheck disable=SC2086
    wanted=$(printf '%s\n' $packages | sort)
    if [ "$(active_packages | sort)" = "$wanted" ]; then
        say "Going back to the packages before"
        pkgpanda rollback --no-block-systemd || die "there is no way back"
    else
        say "The packages of this script are not active: nothing to take back"
    fi
    # Also when an earlier run was cut off between the two.
    each_flag flag_back
    rm -f "$flags/digests.new" "$flags"/*.dcos-tmp
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
    [ -x "$root/bin/pkgpanda" ] || [ -x "$root/bin.new/pkgpanda" ] || die "there is no DC/OS on this machine"
    find_role
    finish_change
    if $back; then
        rollback
    else
        upgrade "$look"
    fi
}

main "$@"
