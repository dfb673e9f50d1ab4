"""Which request to a hub is which operation, as Microsoft's description of the service has it."""

from berth_sandbox.azure.routes import Route

CONFIGURATION, DEVICE, TWIN = "/configurations/{configuration}", "/devices/{device}", "/twins/{device}"
ROOTS = frozenset({"configurations", "devices", "twins", "statistics", "jobs", "messages", "digitaltwins"})

ROUTES = (
    Route("Configuration_GetConfigurations", "GET", "/configurations"),
    Route("Configuration_TestQueries", "POST", "/configurations/testQueries"),
    Route("Configuration_Get", "GET", CONFIGURATION),
    Route("Configuration_CreateOrUpdate", "PUT", CONFIGURATION),
    Route("Configuration_Delete", "DELETE", CONFIGURATION),
    Route("Configuration_ApplyOnEdgeDevice", "POST", f"{DEVICE}/applyConfigurationContent"),
    Route("Statistics_GetDeviceStatistics", "GET", "/statistics/devices"),
    Route("Statistics_GetServiceStatistics", "GET", "/statistics/service"),
    Route("Query_GetTwins", "POST", "/devices/query"),
    Route("Devices_GetDevices", "GET", "/devices"),
    Route("Devices_GetIdentity", "GET", DEVICE),
    Route("Devices_CreateOrUpdateIdentity", "PUT", DEVICE),
    Route("Devices_DeleteIdentity", "DELETE", DEVICE),
    Route("Modules_GetModulesOnDevice", "GET", f"{DEVICE}/modules"),
    Route("Modules_GetIdentity", "GET", f"{DEVICE}/modules/{{module}}"),
    Route("Modules_CreateOrUpdateIdentity", "PUT", f"{DEVICE}/modules/{{module}}"),
    Route("Modules_DeleteIdentity", "DELETE", f"{DEVICE}/modules/{{module}}"),
    Route("Devices_GetTwin", "GET", TWIN),
    Route("Devices_UpdateTwin", "PATCH", TWIN),
    Route("Modules_GetTwin", "GET", f"{TWIN}/modules/{{module}}"),
)
