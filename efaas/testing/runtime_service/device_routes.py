"""Endpoints that tell of devices, and of what has been used of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from efaas.testing.runtime_service.dates import date_of, text_of
from efaas.testing.runtime_service.messages import Answer, Request, answer_of, refuse

if TYPE_CHECKING:
    from efaas.testing.runtime_service.cloud import Cloud

__all__ = ["DeviceRoutes"]


class DeviceRoutes:
    """Answers what is asked about devices.

    Attributes:
        table: What answers each endpoint.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.table: Mapping[str, Callable[[Request], Answer]] = {
            "backends": self._backends,
            "configuration": self._configuration,
            "properties": self._properties,
            "status": self._status,
            "usage": self._usage,
        }

    def _backends(self, _: Request) -> Answer:
        cloud = self._cloud
        return answer_of(
            {
                "devices": [
                    device.listed(self._cloud.num_pending(name))
                    for name, device in cloud.devices.items()
                ]
            }
        )

    def _configuration(self, request: Request) -> Answer:
        return answer_of(self._cloud.device(request.names["device"]).configuration)

    def _properties(self, request: Request) -> Answer:
        cloud = self._cloud
        before = request.first("updated_before")
        state = cloud.device(request.names["device"]).calibration_of(
            request.first("calibration_id"), None if before is None else date_of(before)
        )
        if state is None:
            raise refuse(404, 1009, "There are no properties of that calibration or date.")
        return answer_of(state.properties)

    def _status(self, request: Request) -> Answer:
        name = request.names["device"]
        return answer_of(self._cloud.device(name).status(self._cloud.num_pending(name)))

    def _usage(self, _: Request) -> Answer:
        cloud = self._cloud
        limit = cloud.rules.usage_limit_seconds
        usage: dict[str, Any] = {
            "usage_consumed_seconds": cloud.billed_seconds(),
            "usage_limit_reached": cloud.is_used_up(),
            "usage_period": {"start_time": text_of(cloud.date(0.0)), "end_time": None},
        }
        if limit is not None:
            usage["usage_limit_seconds"] = limit
            usage["usage_allocation_seconds"] = limit
        return answer_of(usage)
