# SPDX-License-Identifier: GPL-2.0-or-later
# What a machine is told from others by, and what it has been through, goes: each clone gets its own.
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /var/lib/systemd/random-seed /etc/resolv.conf
rm -f /etc/apt/apt.conf.d/99mmdebstrap
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/lib/cloud /var/log/journal/* /var/tmp/*
find /var/log -type f -delete
: >/etc/machine-id
echo localhost >/etc/hostname
ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
