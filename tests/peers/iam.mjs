// Says what the policies of a role allow: JSON on standard input and output.
//
// in:  {"principal": ARN, "policies": [{"name", "policy"}],
//       "requests": [{"action", "resource", "context": {KEY: VALUE}}]}
// out: for each request "Allowed", "ImplicitlyDenied", "ExplicitlyDenied", or what is wrong with it

import { runSimulation } from '@cloud-copilot/iam-simulate'

let text = ''
for await (const chunk of process.stdin) text += chunk
const { principal, policies, requests } = JSON.parse(text)
const accountId = principal.split(':')[4]

const results = []
for (const { action, resource, context } of requests) {
  const response = await runSimulation(
    {
      request: {
        principal,
        action,
        resource: { resource, accountId },
        contextVariables: context ?? {},
      },
      identityPolicies: policies,
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  )
  results.push(response.overallResult ?? response.analysis?.result ?? JSON.stringify(response.errors ?? response))
}
console.log(JSON.stringify(results))
