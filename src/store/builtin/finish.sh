# SPDX-License-Identifier: GPL-2.0-or-later
# The end of a build, run by sh -e in the image: $1 is the UUID of the root file system. What the recipe's
# commands are stands after it.
export DEBIAN_FRONTEND=noninteractive

mkdir -p /boot/efi /boot/grub /etc/default/grub.d
cat >/etc/default/grub.d/viv.cfg <<END
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX_DEFAULT=
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0"
GRUB_TERMINAL="console serial"
END
cat >/boot/grub/early.cfg <<END
search.fs_uuid $1 root
set prefix=(\$root)/boot/grub
END
cp -r /usr/lib/grub/i386-pc /usr/lib/grub/x86_64-efi /boot/grub/
grub-mkimage -O i386-pc -o /boot/grub/i386-pc/core.img -p /boot/grub -c /boot/grub/early.cfg \
	biosdisk part_gpt ext2 search_fs_uuid
grub-mkimage -O x86_64-efi -o /boot/grub/x86_64-efi/core.efi -p /boot/grub -c /boot/grub/early.cfg \
	part_gpt fat ext2 search_fs_uuid normal
rm /boot/grub/early.cfg

# Until update-grub, which cannot find the root file system here, writes its own with the next kernel.
kernel=$(ls /boot/vmlinuz-* | sort -V | tail -n 1)
cat >/boot/grub/grub.cfg <<END
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=0
menuentry "Debian" {
	search --no-floppy --fs-uuid --set=root $1
	linux $kernel root=UUID=$1 ro console=tty0 console=ttyS0
	initrd /boot/initrd.img-${kernel#/boot/vmlinuz-}
}
END
