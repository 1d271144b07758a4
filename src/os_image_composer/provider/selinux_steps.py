"""What SELinux adds to a plan: words of the kernel's command line, configuration, the step that computes labels."""

from __future__ import annotations

from dataclasses import replace

from os_image_composer.build.step import Input, Step
from os_image_composer.chroot.installer import all_of
from os_image_composer.config.distribution import Distribution
from os_image_composer.config.spec import ImageSpec
from os_image_composer.image.selinux import ComputeLabels, Selinux
from os_image_composer.provider.boot_steps import kernel_choice


def switched(spec: ImageSpec, distribution: Distribution) -> ImageSpec:
    """`spec` with what the kernel's command line must say for the mode that it asks for."""
    if spec.selinux is None:
        return spec
    data = distribution.selinux
    words = spec.kernel.cmdline.split()
    wanted = data.off if spec.selinux == "disabled" else data.on
    missing = [word for word in wanted if word not in words]
    return replace(spec, kernel=replace(spec.kernel, cmdline=" ".join([spec.kernel.cmdline, *missing]).strip()))


def asked(spec: ImageSpec, distribution: Distribution) -> Selinux | None:
    """What the configuration is told; None where the template says nothing of SELinux."""
    return None if spec.selinux is None else Selinux(spec.selinux, distribution.selinux.packages)


def label_steps(spec: ImageSpec, distribution: Distribution, root: list[Step]) -> list[Step]:
    """The step that computes the labels of the finished `root`; none where it gets none."""
    selinux = asked(spec, distribution)
    if selinux is None or not selinux.labels:
        return []
    return [Step("labels", ComputeLabels(kernel_choice(spec, distribution.boot)), all_of("lower", root))]


def labelled(steps: list[Step]) -> tuple[Input, ...]:
    """The input by which a step that writes a root filesystem gets the labels."""
    return tuple(Input("labels", step.name) for step in steps)
