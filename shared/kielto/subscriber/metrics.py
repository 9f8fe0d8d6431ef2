"""The gate of a subscriber as Prometheus metrics, without personal data. Needs `pip install kielto[metrics]`.

prometheus_client.REGISTRY.register(GateCollector(kielto))
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kielto.subscriber.subscriber import Subscriber


class GateCollector(Collector):
    """Reads the subscriber at each scrape; costs nothing in between."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        name = self._subscriber.subscriber
        answers = CounterMetricFamily(
            "kielto_gate_answers", "Answers of may(), by reason.", labels=["subscriber", "reason"]
        )
        for reason, count in sorted(self._subscriber.answers.items()):
            answers.add_metric([name, reason.value], count)
        shut = GaugeMetricFamily(
            "kielto_gate_shut",
            "1 while the gate of the partition is shut, with the reason.",
            labels=["subscriber", "partition", "reason"],
        )
        age = GaugeMetricFamily(
            "kielto_gate_view_age_seconds",
            "How old the store's view of the partition may be; +Inf before it is known.",
            labels=["subscriber", "partition"],
        )
        for partition, (why, seconds) in enumerate(self._subscriber.partitions()):
            place = [name, str(partition)]
            shut.add_metric([*place, why.value if why else ""], int(why is not None))
            age.add_metric(place, seconds)
        yield from (answers, shut, age)
