from os_image_composer.config.spec import ImageSpec


def file_names(spec: ImageSpec) -> dict[str, str]:
    b = f"{spec.name}-{spec.version}"
    return {
        "initrd-image": b + ".img",
        "kernel": b + ".vmlinuz",
        "qemu-example": b + ".qemu.sh",
        "ipxe-example": b + ".ipxe",
        "iso": b + ".iso",
    }
