// A value that comes out N cycles later.
module mep_delay #(
    parameter int W = 1,
    parameter int N = 1
) (
    input  logic         clk,
    input  logic [W-1:0] in,
    output logic [W-1:0] out
);
    if (N == 0) begin : none
        assign out = in;
    end else begin : line
        logic [N*W-1:0] held;
        always_ff @(posedge clk) begin
            held[0+:W] <= in;
            for (int n = 1; n < N; n++) held[n*W+:W] <= held[(n-1)*W+:W];
        end
        assign out = held[(N-1)*W+:W];
    end
endmodule
