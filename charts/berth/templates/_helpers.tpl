{{- define "berth.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "berth.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "berth.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "berth.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "berth.selectorLabels" -}}
app.kubernetes.io/name: {{ include "berth.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "berth.labels" -}}
{{ include "berth.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: berth
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "berth.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "berth.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name must name an existing account when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "berth.leaseName" -}}
{{ include "berth.fullname" . }}-leader
{{- end }}

{{- /* The reference of an image: (list root image). A digest wins over a tag. */}}
{{- define "berth.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "berth.subject" -}}
- kind: ServiceAccount
  name: {{ include "berth.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* What the operator may do where it serves: the same in a ClusterRole and in a Role. */}}
{{- define "berth.rules" -}}
- apiGroups: [berth.dev]
  resources: [modeldeployments]
  verbs: [list, watch]
- apiGroups: [berth.dev]
  resources: [modeldeployments/status]
  verbs: [patch]
# Owner references with blockOwnerDeletion need it where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [berth.dev]
  resources: [modeldeployments/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# The endpoint keys. RBAC cannot select by label; the operator asks for its own Secrets only.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
# Why a container fails, or what its pod waits for.
- apiGroups: [""]
  resources: [pods, events]
  verbs: [list]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* Places belong to no namespace: an operator of single namespaces does without. */}}
{{- define "berth.clusterRules" -}}
- apiGroups: [berth.dev]
  resources: [computetargets]
  verbs: [list, watch, patch] # the finalizer, while it is in use
- apiGroups: [berth.dev]
  resources: [computetargets/status]
  verbs: [patch]
- apiGroups: [berth.dev]
  resources: [modeldeployments]
  verbs: [patch] # the finalizer, where something outside the cluster has to go first
# What container groups in Azure are made from: they cannot mount it.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# The labels that allowedNamespaces chooses by, and the id of the cluster.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# Exclusive devices: what nodes offer, and what the pods on those nodes and the waiting ones ask for.
- apiGroups: [""]
  resources: [nodes, pods]
  verbs: [list, watch]
# A pod of its own on a dead device, while another one is free: the kubelet would start it there for ever.
- apiGroups: [""]
  resources: [pods]
  verbs: [delete]
- apiGroups: [scheduling.k8s.io]
  resources: [priorityclasses]
  verbs: [get]
# Claims on the devices of a DRA class, and what is known of those devices.
- apiGroups: [resource.k8s.io]
  resources: [resourceclaimtemplates]
  verbs: [get, create, patch]
- apiGroups: [resource.k8s.io]
  resources: [deviceclasses, resourceslices, resourceclaims]
  verbs: [list, watch]
{{- end }}
