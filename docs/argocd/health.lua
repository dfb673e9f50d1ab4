-- Health of berth.dev/ModelDeployment in Argo CD. Its status follows kstatus.
local health = { status = "Progressing", message = "Waiting for Berth to see the object" }

if obj.metadata.deletionTimestamp ~= nil then
  health.message = "Pending deletion"
  return health
end

if obj.spec ~= nil and obj.spec.suspend == true then
  health.status = "Suspended"
  health.message = "spec.suspend is true"
  return health
end

-- The default of observedGeneration is -1, so that a new object never looks finished.
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(type, status)
  return conditions[type] ~= nil and conditions[type].status == status
end

local function describe(type)
  return conditions[type].reason .. ": " .. conditions[type].message
end

if is("Reconciling", "True") then
  health.message = describe("Reconciling")
elseif is("Stalled", "True") then
  health.status = "Degraded"
  health.message = describe("Stalled")
elseif is("Ready", "True") then
  health.status = "Healthy"
  health.message = describe("Ready")
elseif is("Ready", "False") then
  health.status = "Degraded"
  health.message = describe("Ready")
end

return health
