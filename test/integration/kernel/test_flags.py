"""Every flag of the daemons whose place these take is known; a configuration of a cluster of theirs starts these."""

import os
import subprocess

import pytest

from cluster import binary
from raw import get, rows

BOTH = """ip ip_discovery_command port advertise_ip advertise_port hostname hostname_lookup log_dir logging_level logbufsecs
quiet external_log_file modules modules_dir hooks firewall_rules zk_session_timeout authenticate_http_readonly
authenticate_http_readwrite http_authenticators domain memory_profiling authorizers acls work_dir"""
NAMES = {
    "dcos-master": BOTH + """ quorum zk registry agent_ping_timeout max_agent_ping_timeouts agent_reregister_timeout
agent_removal_rate_limit recovery_agent_removal_limit registry_fetch_timeout registry_store_timeout registry_gc_interval
registry_max_agent_age registry_max_agent_count allocation_interval allocator min_allocatable_resources role_sorter
framework_sorter offer_timeout filter_gpu_resources fair_sharing_excluded_resource_names require_agent_domain
authenticate_agents authenticate_frameworks authenticate_http_frameworks authenticators authentication_v0_timeout
credentials rate_limits weights roles whitelist cluster http_framework_authenticators root_submissions
max_completed_frameworks max_completed_tasks_per_framework max_unreachable_tasks_per_framework
max_operator_event_stream_subscribers publish_per_framework_metrics log_auto_initialize offer_constraints_re2_max_mem
offer_constraints_re2_max_program_size webui_dir allocator_recovery_timeout allocator_agent_recovery_factor
master_contender master_detector max_executors_per_agent""",
    "dcos-agent": BOTH + """ master runtime_dir containerizers isolation launcher launcher_dir resources attributes default_role
cgroups_root cgroups_hierarchy cgroups_enable_cfs cgroups_limit_swap cgroups_destroy_timeout
cgroups_cpu_enable_pids_and_tids_count recover strict recovery_timeout reconfiguration_policy
executor_registration_timeout executor_reregistration_timeout executor_reregistration_retry_interval
executor_shutdown_grace_period registration_backoff_factor authentication_timeout_min authentication_timeout_max
authentication_backoff_factor http_heartbeat_interval gc_delay gc_disk_headroom disk_watch_interval
gc_non_executor_container_sandboxes max_completed_executors_per_framework container_disk_watch_interval
enforce_container_disk_quota fetcher_cache_dir fetcher_cache_size fetcher_stall_timeout image_providers
image_provisioner_backend image_gc_config sandbox_directory docker docker_registry docker_store_dir docker_config
docker_remove_delay docker_kill_orphans docker_socket docker_volume_checkpoint_dir network_cni_plugins_dir
network_cni_config_dir network_cni_root_dir_persist network_cni_metrics default_container_dns default_container_info
default_container_shm_size switch_user revocable_cpu_low_priority http_command_executor authenticate_http_executors
jwt_secret_key http_credentials credential secret_resolver container_logger oversubscribed_resources_interval
qos_correction_interval_min systemd_enable_support effective_capabilities bounding_capabilities allowed_devices
seccomp_config_dir seccomp_profile_name disallow_sharing_agent_pid_namespace disallow_sharing_agent_ipc_namespace
xfs_project_range xfs_kill_containers volume_gid_range host_path_volume_force_creation perf_duration perf_interval
http_executor_domain_sockets executor_environment_variables""",
}


def ended(program, *flags, env=None):
    """Exit code and what was said, of a start that must end by itself."""
    r = subprocess.run(
        [binary(program), *flags], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **(env or {})},
    )
    return r.returncode, r.stdout + r.stderr


@rows("7.2", 10)
@rows("7.1", 3)
@pytest.mark.parametrize("program", NAMES)
def test_names(program):
    code, text = ended(program, "--help")
    assert code == 0
    words = set(text.replace("--[no-]", "--").replace("=", " ").replace("--", " ").split())
    assert not set(NAMES[program].split()) - words
    code, text = ended(program, "--no_such_flag=1")
    assert code != 0 and "unknown flag" in text


MASTER_ENVIRONMENT = {
    "MESOS_QUORUM": "1", "MESOS_HOSTNAME_LOOKUP": "false", "MESOS_AGENT_REMOVAL_RATE_LIMIT": "1/20mins",
    "MESOS_OFFER_TIMEOUT": "2mins", "MESOS_MAX_COMPLETED_FRAMEWORKS": "50", "MESOS_LOG_DIR": "{folder}",
    "MESOS_MODULES_DIR": "/opt/modules", "MESOS_FILTER_GPU_RESOURCES": "true", "MESOS_REGISTRY": "replicated_log",
    "MESOS_AUTHORIZERS": "local", "MESOS_ALLOCATOR": "HierarchicalDRF", "MESOS_REGISTRY_STORE_TIMEOUT": "60secs",
    "MESOS_IP_DISCOVERY_COMMAND": "echo 127.0.0.1", "MESOS_SOMETHING_ELSE": "x",
}
AGENT_ENVIRONMENT = {
    "MESOS_ISOLATION": "cgroups/cpu,cgroups/mem,disk/du,network/cni", "MESOS_CONTAINERIZERS": "docker,mesos",
    "MESOS_IMAGE_PROVIDERS": "docker", "MESOS_IMAGE_PROVISIONER_BACKEND": "overlay", "MESOS_HOSTNAME_LOOKUP": "false",
    "MESOS_CONTAINER_LOGGER": "org_apache_mesos_LogrotateContainerLogger", "MESOS_GC_DELAY": "2days",
    "MESOS_IMAGE_GC_CONFIG": "{}", "MESOS_NETWORK_CNI_CONFIG_DIR": "/opt/cni", "MESOS_RECOVERY_TIMEOUT": "24hrs",
    "MESOS_DOCKER_REMOVE_DELAY": "1hrs", "MESOS_ENFORCE_CONTAINER_DISK_QUOTA": "true", "MESOS_RECOVER": "reconnect",
    "MESOS_MAX_COMPLETED_EXECUTORS_PER_FRAMEWORK": "5", "MESOS_SYSTEMD_ENABLE_SUPPORT": "false",
    "MESOS_SECCOMP_PROFILE_NAME": "default.json", "MESOS_STRICT": "false", "MESOS_MODULES_DIR": "/opt/modules",
    "MESOS_EXECUTOR_ENVIRONMENT_VARIABLES": '{"A":"b"}', "MESOS_IP_DISCOVERY_COMMAND": "echo 127.0.0.1",
}


@rows("7.1", 1)
def test_environment(cluster):
    """As a node of such a cluster has it: they start, say what has no effect, and show what was set."""
    master = cluster.master(start=False)
    master.env = {k: v.replace("{folder}", cluster.folder) for k, v in MASTER_ENVIRONMENT.items()}
    master.start()
    agent = cluster.agent(master, start=False)
    agent.env = AGENT_ENVIRONMENT
    agent.start()
    for daemon, name in ((master, "modules_dir"), (agent, "isolation")):
        told = [line for line in daemon.tail().splitlines() if "flags without effect" in line]
        assert len(told) == 1 and name in told[0] and "hostname_lookup" in told[0]
        assert get(daemon, "/flags").json()["flags"][name] == daemon.env["MESOS_" + name.upper()]


@rows("7.1", 1)
@rows("7.2", 1)
@pytest.mark.parametrize(
    "program, flag",
    [
        ("dcos-master", "--registry=in_memory"),
        ("dcos-master", "--allocator=com_example_Allocator"),
        ("dcos-master", "--authorizers=com_example_Authorizer"),
        ("dcos-master", "--master_contender=com_example_Contender"),
        ("dcos-master", "--master_detector=com_example_Detector"),
        ("dcos-master", "--http_authenticators=com_example_Authenticator"),
        ("dcos-master", "--advertise_ip=192.0.2.1"),
        ("dcos-master", "--ip_discovery_command=echo here"),
        ("dcos-master", "--ip_discovery_command=exit 3"),
        ("dcos-agent", "--ip_discovery_command=true"),
        ("dcos-agent", "--authorizers=com_example_Authorizer"),
        ("dcos-agent", "--recover=cleanup"),
    ],
)
def test_modules(program, flag, tmp_path):
    """What would choose a part that is not there ends the start, with the flag's name."""
    code, text = ended(program, f"--work_dir={tmp_path}", "--port=0", *(["--master=127.0.0.1:1"] if "agent" in program else []), flag)
    assert code != 0 and flag[2:].split("=")[0] in text
