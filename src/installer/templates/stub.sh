#!/bin/sh
# DC/OS installer @version@ (commit @commit@). A program and the files it installs follow this script; they are unpacked once,
# beside the current folder. Nothing else is needed, neither Docker nor a network. Try --help.
set -u
umask 022
name=dcos-genconf.@short@
payload_line=@line@
payload_sha256=@sha256@
export DCOS_IMAGE_COMMIT=@commit@ BOOTSTRAP_ID=@bootstrap@ BOOTSTRAP_VARIANT=@variant@ DCOS_RELEASE_VERSION=@version@ INSTALLER_ARGV0="$0"

die() {
    echo "$0: $*" >&2
    exit 1
}

# Where everybody may make folders, as in /tmp, one that is somebody else's is not run, nor written to.
for folder in "$name" genconf; do
    if [ -e "$folder" ] && [ -n "$(find . -prune -perm -1002 2>/dev/null)" ] &&
        [ -z "$(find "$folder" -prune -user "$(id -u)" 2>/dev/null)" ]; then
        die "$PWD/$folder is another user's, and anybody may write to $PWD; work in a folder of your own"
    fi
done
# What is said here goes to stderr: stdout may be JSON that somebody reads.
if [ ! -x "$name/installer/bin/dcos-installer" ]; then
    for tool in tail tar sha256sum; do
        command -v "$tool" >/dev/null 2>&1 || die "the program $tool is needed"
    done
    echo "Extracting the installer to $PWD/$name" >&2
    part=$name.part.$$
    trap 'rm -rf "$part"; exit 130' INT TERM HUP
    mkdir "$part" || die "cannot make a folder in $PWD"
    got=$(tail -n "+$payload_line" "$0" | sha256sum)
    if [ "${got%% *}" != "$payload_sha256" ]; then
        rm -rf "$part"
        die "this file is damaged: its contents are not what was built; get it again"
    fi
    if ! tail -n "+$payload_line" "$0" | tar -x -C "$part" -f -; then
        rm -rf "$part"
        die "cannot unpack to $PWD; is the disk full?"
    fi
    sync
    # Somebody else may have been faster.
    if ! mv -T "$part" "$name" 2>/dev/null; then
        rm -rf "$part"
        [ -x "$name/installer/bin/dcos-installer" ] || die "cannot make $PWD/$name"
    fi
    trap - INT TERM HUP
fi
mkdir -p genconf/state || die "cannot make $PWD/genconf"
if [ "${DCOS_INSTALLER_DAEMONIZE:-false}" = true ]; then
    # It may print how to log in.
    (umask 077 && rm -f genconf/state/installer.log && : >genconf/state/installer.log) || die "cannot write $PWD/genconf/state"
    nohup "$name/installer/bin/dcos-installer" "$@" </dev/null >genconf/state/installer.log 2>&1 &
    exit 0
fi
exec "$name/installer/bin/dcos-installer" "$@"
exit 1
#EOF#
