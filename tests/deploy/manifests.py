"""Checks of rendered Kubernetes objects, for manifests_test.sh.

    manifests.py CHECK FILE...

A file is what `kubectl kustomize` printed. CHECK is one of the functions below that take a list of objects; it says what
is wrong and where on standard error and exits with 1, or is silent.
"""

import re
import sys

import yaml


class Wrong(Exception):
    pass


def check(holds, what):
    if not holds:
        raise Wrong(what)


def of_kind(objects, *kinds):
    return [o for o in objects if o["kind"] in kinds]


def pod_specs(objects):
    """(object, pod spec) of everything that starts servers."""
    pods = [(o, o["spec"]["template"]["spec"]) for o in of_kind(objects, "Deployment")]
    return pods + [(o, o["spec"]) for o in of_kind(objects, "ServingRuntime")]


def config_file(objects, pod):
    """The flags of the ConfigMap that a pod mounts at /etc/winnow."""
    for volume in pod.get("volumes", []):
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            found = [o for o in of_kind(objects, "ConfigMap") if o["metadata"]["name"] == name]
            check(found, f"no ConfigMap {name}")
            return yaml.safe_load(found[0]["data"]["winnow.yaml"])
    return {}


def flags(objects, pod):
    """All flags of a pod's server, as text. One that stands in file and arguments would have two values."""
    from_file = {key: str(value) for key, value in config_file(objects, pod).items()}
    args = dict(arg.removeprefix("--").split("=", 1) for arg in pod["containers"][0]["args"])
    args.pop("config", None)
    both = from_file.keys() & args.keys()
    check(not both, f"in winnow.yaml and in args: {sorted(both)}")
    return from_file | args


def seconds(text):
    """Of a duration as flags have it: 1m30s."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(n) * units[u] for n, u in re.findall(r"([\d.]+)(ms|h|m|s)", text))


def mebibytes(text):
    """Of a quantity of Kubernetes' (1Gi) or of a flag's (1GiB)."""
    number, unit = re.fullmatch(r"(\d+)([MG])iB?", text).groups()
    return int(number) * {"M": 1, "G": 1024}[unit]


def port(address):
    return int(address.rsplit(":", 1)[1])


def security(objects):
    for owner, pod in pod_specs(objects):
        container = pod["containers"][0]
        context = pod.get("securityContext", {}) | container["securityContext"]
        where = owner["metadata"]["name"]
        check(context["runAsNonRoot"] is True, f"{where}: runs as root")
        check(context["readOnlyRootFilesystem"] is True, f"{where}: can write its image")
        check(context["allowPrivilegeEscalation"] is False, f"{where}: may gain privileges")
        check(context["capabilities"]["drop"] == ["ALL"], f"{where}: keeps capabilities")
        if owner["kind"] == "Deployment":
            check(context["seccompProfile"]["type"] == "RuntimeDefault", f"{where}: no seccomp")
            check(pod["automountServiceAccountToken"] is False, f"{where}: has a token for Kubernetes")


def resources(objects):
    for _, pod in pod_specs(objects):
        have = pod["containers"][0]["resources"]
        check(have["requests"] == have["limits"], f"requests {have['requests']}, limits {have['limits']}")
        given = flags(objects, pod)
        cores = int(have["limits"]["cpu"])
        # The cpu backend's threads; gRPC and text need a core too.
        if "threads" in given:
            check(int(given["threads"]) < cores, f"{given['threads']} threads on {cores} cores")
        if "state_memory" in given:
            state, limit = mebibytes(given["state_memory"]), mebibytes(have["limits"]["memory"])
            check(state <= limit / 2, f"{state} MiB of state in a pod of {limit} MiB")


def shutdown(objects):
    """The pod must live longer than anything that the server may still do."""
    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        given = flags(objects, pod)
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        check(command[0] == "sleep", f"preStop is {command}")
        needed = int(command[1]) + seconds(given["shutdown_delay"]) + seconds(given["drain_timeout"])
        grace = pod["terminationGracePeriodSeconds"]
        check(grace >= needed + 10, f"grace {grace} s, but {needed} s until the last call may end")


def ports(objects):
    for owner, pod in pod_specs(objects):
        container, given = pod["containers"][0], flags(objects, pod)
        serves = {port(given["listen"]), port(given["health_listen"]), int(given["metrics_port"])}
        declared = {p["containerPort"] for p in container["ports"]}
        named = {p["name"]: p["containerPort"] for p in container["ports"]}
        check(declared <= serves, f"declares {declared}, listens on {serves}")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            # KServe's controller brings the startup of its own.
            if probe != "startupProbe" or owner["kind"] == "Deployment":
                asked = container[probe]["grpc"]["port"]
                check(asked == port(given["health_listen"]), f"{probe} asks port {asked}")
        for service in of_kind(objects, "Service"):
            check(service["spec"]["clusterIP"] == "None", "the Service is not headless")
            for entry in service["spec"]["ports"]:
                check(named[entry["targetPort"]] == port(given["listen"]), f"the Service leads to {entry}")
        for policy in of_kind(objects, "NetworkPolicy"):
            open_ports = {p["port"] for rule in policy["spec"]["ingress"] for p in rule["ports"]}
            check(open_ports == serves, f"the NetworkPolicy opens {open_ports}, the pod serves {serves}")


def selectors(objects):
    """Whatever selects pods selects the Deployment's."""
    for deployment in of_kind(objects, "Deployment"):
        template = deployment["spec"]["template"]
        labels = template["metadata"]["labels"].items()
        monitored = {p["name"] for p in template["spec"]["containers"][0]["ports"]}
        wanted = [deployment["spec"]["selector"]["matchLabels"]]
        wanted += [o["spec"]["selector"] for o in of_kind(objects, "Service")]
        wanted += [o["spec"]["podSelector"]["matchLabels"] for o in of_kind(objects, "NetworkPolicy")]
        for o in of_kind(objects, "PodDisruptionBudget", "PodMonitor", "InferencePool"):
            wanted.append(o["spec"]["selector"]["matchLabels"])
        for wish in wanted:
            check(wish.items() <= labels, f"{wish} is not what the pods have: {dict(labels)}")
        for monitor in of_kind(objects, "PodMonitor"):
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                check(endpoint["port"] in monitored, f"no port {endpoint['port']} to fetch metrics from")
        accounts = {o["metadata"]["name"] for o in of_kind(objects, "ServiceAccount")}
        check(template["spec"]["serviceAccountName"] in accounts, "no such ServiceAccount")


def scaling(objects):
    for scaled in of_kind(objects, "ScaledObject"):
        spec = scaled["spec"]
        name = spec["scaleTargetRef"]["name"]
        targets = [o for o in of_kind(objects, "Deployment") if o["metadata"]["name"] == name]
        check(targets, f"no Deployment {name} to scale")
        check("replicas" not in targets[0]["spec"], "an apply would reset what KEDA has set")
        least, most = spec["minReplicaCount"], spec["maxReplicaCount"]
        check(least <= spec["fallback"]["replicas"] <= most, "fallback outside of minimum and maximum")
        given = flags(objects, targets[0]["spec"]["template"]["spec"])
        running = [t["metadata"]["threshold"] for t in spec["triggers"] if "requests_running" in t["metadata"]["query"]]
        expected = str(int(given["max_sequences"]) * 3 // 4)
        check(running == [expected], f"scales at {running} running, three quarters of the slots are {expected}")


def same(objects, others):
    """Two tools' renderings of one folder: the same but for the order and for what a name's hash is computed from."""
    def normal(rendered):
        text = re.sub(r"(winnow-flags)-[0-9a-z]{10}\b", r"\1-HASH", yaml.safe_dump(rendered))
        return sorted(yaml.safe_load(text), key=lambda o: (o["kind"], o["metadata"]["name"]))
    for one, other in zip(normal(objects), normal(others)):
        what = f"{one['kind']} {one['metadata']['name']}"
        check(one == other, f"{what} differs:\n{yaml.safe_dump(one)}\nand\n{yaml.safe_dump(other)}")
    check(len(objects) == len(others), f"{len(objects)} objects and {len(others)}")


def tag(objects, version):
    """Images are named as README and Dockerfiles do, with the version of the server."""
    for owner, pod in pod_specs(objects):
        image = pod["containers"][0]["image"]
        check(image in (f"winnow:{version}", f"winnow:{version}-cuda"), f"{owner['kind']} starts {image}")


def print_pods(objects):
    """Prints the pods that KServe makes of runtimes, for a validator that knows no runtime."""
    for runtime in of_kind(objects, "ServingRuntime"):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": runtime["metadata"]["name"]}}
        print(yaml.safe_dump(pod | {"spec": {"containers": runtime["spec"]["containers"]}}))


def custom(objects):
    """Operators' objects against their published types, where cloudcoil's packages have them."""
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule
    for o in objects:
        for model in (PodMonitor, PrometheusRule, ScaledObject):
            if o["kind"] == model.__name__:
                known = model.model_validate(o, strict=True).model_dump(by_alias=True, exclude_unset=True)
                check(known == o, f"{o['kind']}: fields that its type does not know, in\n{yaml.safe_dump(o)}")


def load(path):
    with open(path, encoding="utf-8") as file:
        return [o for o in yaml.safe_load_all(file) if o]


def main(name, *paths):
    if name == "same":
        return same(load(paths[0]), load(paths[1]))
    if name == "tag":
        version, *paths = paths
        return [tag(load(path), version) for path in paths]
    return [globals()[name](load(path)) for path in paths]


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Wrong as error:
        sys.exit(f"{' '.join(sys.argv[1:])}: {error}")
